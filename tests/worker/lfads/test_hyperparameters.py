import numpy as np

from lfads_worker.lfads.hyperparameters import Hyperparameters, stack_hyperparameters


def test_each_member_keeps_its_own_values():
    members = [{name: 10.0 * i + j for j, name in enumerate(Hyperparameters._fields)} for i in range(3)]

    stacked = stack_hyperparameters([dict(reversed(member.items())) for member in members])

    for j, column in enumerate(stacked):
        np.testing.assert_array_equal(column, [j, 10.0 + j, 20.0 + j])
