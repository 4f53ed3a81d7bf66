"""A small recording, and trainers that are compiled once for all tests of this folder."""

import numpy as np
import pytest

from autolfads_spec import RunSpec
from lfads_worker.data.spikes import SpikeData
from lfads_worker.training.state import CohortTask

_WIDTHS = {
    "ic_encoder_units": 3,
    "ci_encoder_units": 3,
    "controller_units": 4,
    "inferred_inputs": 2,
    "ic_dim": 3,
    "generator_units": 5,
    "factors": 4,
}
_RAMP = {"start_epoch": 0, "epochs": 4}


def _values(member):
    """All nine hyperparameters, different for each member."""
    return {
        "learning_rate": 4e-3 * (1 + member),
        "dropout_rate": 0.05 + 0.1 * member,
        "coordinated_dropout_rate": 0.3 + 0.1 * member,
        "l2_generator": 0.1,
        "l2_controller": 0.2,
        "l2_ic_encoder": 0.0,
        "l2_ci_encoder": 0.0,
        "kl_initial_condition": 1e-4,
        "kl_inferred_inputs": 1e-4,
    }


@pytest.fixture(scope="session")
def values():
    return _values


@pytest.fixture(scope="session")
def make_spec():
    """`make_spec(model={...}, training={...}, population={...})`: a run of tiny models."""

    def make(model=None, training=None, population=None):
        return RunSpec.model_validate(
            {
                "data": {"uri": "a.npz"},
                "output": {"uri": "out"},
                "model": _WIDTHS | (model or {}),
                "training": {"batch_size": 8, "kl_ramp": _RAMP, "l2_ramp": _RAMP} | (training or {}),
                "population": {"seed": 3} | (population or {}),
            }
        )

    return make


@pytest.fixture(scope="session")
def make_recording():
    def make(trials=23, bins=6, neurons=4, held_out=1, forward_bins=1, external=1, gaussian=False):
        rng = np.random.default_rng(0)
        spikes = rng.poisson(0.7, (trials, bins, neurons)) + gaussian * rng.standard_normal(
            (trials, bins, neurons)
        )
        valid = np.arange(0, trials, 5)
        return SpikeData(
            spikes=spikes.astype(np.float32),
            train=np.setdiff1d(np.arange(trials), valid),
            valid=valid,
            held_in_neurons=neurons - held_out,
            encoded_bins=bins - forward_bins,
            bin_width_ms=10.0,
            external_inputs=rng.standard_normal((trials, bins, external)).astype(np.float32),
            true_rates=None,
            conditions=None,
            fingerprint="0" * 64,
            source="made here",
        )

    return make


@pytest.fixture(scope="session")
def make_task():
    """`make_task((0, 1, 2))`: one generation of three epochs of a cohort, from fresh weights."""

    def make(members=(0, 1, 2), state=None, values=None, epochs=3, generation=0, first_epoch=0):
        values = tuple(_values(i) for i in members) if values is None else tuple(values)
        return CohortTask(0, generation, first_epoch, epochs, tuple(members), state, values)

    return make


@pytest.fixture(scope="session")
def make_trainer(make_spec, make_recording):
    """Trainers without XLA: the same graph, traced in seconds."""
    from lfads_worker.training.trainer import CohortTrainer

    def make(recording=None, compiled=False, **blocks):
        return CohortTrainer(make_spec(**blocks), recording or make_recording(), None, compiled)

    return make


@pytest.fixture(scope="session")
def trainer(make_trainer):
    return make_trainer()


@pytest.fixture(scope="session")
def xla_trainer(make_trainer):
    return make_trainer(compiled=True)


@pytest.fixture(scope="session")
def trained(trainer, make_task):
    """Three members after one generation, without XLA."""
    return trainer.train_generation(make_task())


@pytest.fixture(scope="session")
def xla_trained(xla_trainer, make_task):
    """The same with XLA, as runs are trained."""
    return xla_trainer.train_generation(make_task())
