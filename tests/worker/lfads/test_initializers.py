import numpy as np
import pytest

from lfads_worker.lfads.initializers import constant, gru_bias, variance_scaling


def test_variance_scaling_is_an_untruncated_normal():
    values = variance_scaling(16)(np.random.default_rng(0), (400, 500))

    assert values.mean() == pytest.approx(0, abs=5 * 0.25 / np.sqrt(values.size))
    assert values.std() == pytest.approx(0.25, rel=5e-3)
    assert np.abs(values).max() > 3.5 * 0.25  # a truncated normal stops at two standard deviations


def test_constants_are_copies():
    source = np.arange(3.0)
    values = constant(source)(np.random.default_rng(0), (3,))

    values += 1.0

    np.testing.assert_array_equal(source, [0.0, 1.0, 2.0])


def test_gates_start_open_and_the_candidate_unbiased():
    np.testing.assert_array_equal(gru_bias(2)(np.random.default_rng(0), (6,)), [1, 1, 1, 1, 0, 0])
