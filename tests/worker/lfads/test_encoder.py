"""Which spikes reach the controller at which bin; the numbers themselves are checked in test_network."""

import numpy as np
import pytest


def _controller_inputs(case):
    return case.lfads.encode(
        case.tf_weights, case.batch, case.tf_noise, case.hyperparameters
    ).controller_inputs.numpy()[:, 0, 0]


@pytest.mark.parametrize(
    ("lag", "causal"), [(0, False), (1, False), (2, False), (0, True), (1, True), (2, True), (7, False)]
)
def test_controller_sees_spikes_up_to_the_lag_before_and_from_the_lag_after(make_case, lag, causal):
    options = {"ci_lag": lag, "causal": causal}
    case = make_case(options, members=1, dropout=False, coordinated=False, forward_bins=1)
    before = _controller_inputs(case)
    bins = 5

    for spike in range(bins):
        case.spikes[0, spike, 2] += 4.0
        changed = (_controller_inputs(case) != before).any(-1)
        case.spikes[0, spike, 2] -= 4.0
        seen = [t - lag >= spike or (not causal and t + lag <= spike) for t in range(bins)]
        np.testing.assert_array_equal(changed, [*seen, False], err_msg=f"spike in bin {spike}")


def test_bins_that_are_only_predicted_hold_zeros(make_case):
    case = make_case(members=1, forward_bins=2)

    assert (_controller_inputs(case)[-2:] == 0).all()


def test_initial_condition_sees_only_its_segment(make_case):
    case = make_case({"ic_segment_bins": 2}, members=1, dropout=False, coordinated=False)

    def mean():
        encoded = case.lfads.encode(case.tf_weights, case.batch, case.tf_noise, case.hyperparameters)
        return encoded.initial_condition.mean.numpy()

    before = mean()
    for spike in range(6):
        case.spikes[:, spike] += 1.0
        assert (mean() != before).any() == (spike < 2)
        case.spikes[:, spike] -= 1.0
