import numpy as np
import pytest

from lfads_worker.report.components import principal_components


@pytest.fixture
def factors():
    rng = np.random.default_rng(0)
    return (rng.standard_normal((8, 10, 5)) @ rng.standard_normal((5, 5)) + 3).astype(np.float32)


def test_components_are_those_of_a_singular_value_decomposition(factors):
    flat = factors.reshape(-1, 5).astype(float)
    centred = flat - flat.mean(0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)

    found = principal_components(factors)

    np.testing.assert_allclose(found.shares, (sizes**2 / (sizes**2).sum())[:3], rtol=1e-5)
    expected = centred @ directions[:3].T
    np.testing.assert_allclose(np.abs(found.projected.reshape(-1, 3)), np.abs(expected), atol=1e-4)


def test_the_sign_does_not_depend_on_chance(factors):
    np.testing.assert_allclose(
        principal_components(factors).projected,
        principal_components(factors[::-1]).projected[::-1],
        atol=1e-5,
    )


def test_bins_without_factors_stay_without(factors):
    factors[:, :2] = np.nan

    found = principal_components(factors)

    assert np.isnan(found.projected[:, :2]).all()
    assert np.isfinite(found.projected[:, 2:]).all()


def test_directions_without_variance_are_left_out(factors):
    factors[..., 1:] = factors[..., :1]

    assert principal_components(factors).projected.shape[2] == 1


def test_constant_factors_are_one_flat_component():
    found = principal_components(np.ones((3, 4, 2), np.float32))

    assert found.projected.shape == (3, 4, 1)
    assert found.shares.tolist() == [0.0]
