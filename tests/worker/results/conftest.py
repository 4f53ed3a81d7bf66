"""A finished run in a few numbers: 10 trials, 6 bins, 5 neurons, 4 members in 2 cohorts, 2 generations."""

import numpy as np
import pytest

from autolfads_spec.errors import ConflictError, MissingError
from autolfads_spec.store import Expected, Stored
from lfads_worker.data.spikes import SpikeData
from lfads_worker.history import BestMember, GenerationRecord, RunHistory
from lfads_worker.pbt.evolve import Decision
from lfads_worker.pbt.population import Member, Population
from lfads_worker.results.provenance import Provenance
from lfads_worker.training.averages import PosteriorAverages
from lfads_worker.training.state import CohortState, EpochLog

TRIALS, TIME, NEURONS = 10, 6, 5
FACTORS, GENERATOR, INPUTS, CONTROLLER, IC = 3, 7, 2, 4, 8
COHORTS = ((0, 1), (2, 3))


@pytest.fixture
def recording() -> SpikeData:
    rng = np.random.default_rng(1)
    rates = rng.uniform(0.2, 2.0, (TRIALS, TIME, NEURONS)).astype(np.float32)
    return SpikeData(
        spikes=rng.poisson(rates).astype(np.float32),
        train=np.array([1, 2, 3, 4, 6, 7, 8, 9]),
        valid=np.array([0, 5]),
        held_in_neurons=4,
        encoded_bins=5,
        bin_width_ms=20.0,
        external_inputs=np.zeros((TRIALS, TIME, 0), np.float32),
        true_rates=rates,
        conditions=np.arange(TRIALS) % 3,
        fingerprint="ab" * 32,
        source="data.h5",
    )


@pytest.fixture
def posterior() -> PosteriorAverages:
    rng = np.random.default_rng(2)
    last = {
        "rates": NEURONS,
        "rates_std": NEURONS,
        "factors": FACTORS,
        "factors_std": FACTORS,
        "generator_states": GENERATOR,
        "generator_states_std": GENERATOR,
        "inferred_inputs": INPUTS,
        "inferred_inputs_std": INPUTS,
        "generator_inputs": INPUTS,
        "controller_states": CONTROLLER,
        "co_means": INPUTS,
        "co_stds": INPUTS,
    }
    in_time = {
        name: rng.uniform(0.1, 1.0, (TRIALS, TIME, size)).astype(np.float32) for name, size in last.items()
    }
    once = {
        name: rng.uniform(0.1, 1.0, (TRIALS, size)).astype(np.float32)
        for name, size in {
            "ic_mean": IC,
            "ic_std": IC,
            "initial_states": GENERATOR,
            "initial_states_std": GENERATOR,
        }.items()
    }
    return PosteriorAverages(**in_time, **once, samples=50)


@pytest.fixture
def provenance() -> Provenance:
    return Provenance(
        run_name="demo",
        seed=7,
        fingerprint="ab" * 32,
        source="data.h5",
        output_distribution="Poisson",
        generation=1,
        member=2,
        score=0.25,
        hyperparameters=values(0.004, 0.1),
    )


@pytest.fixture
def history() -> RunHistory:
    """Two generations of 3 and 2 epochs; member 1 diverges in the first and becomes a copy of member 2."""
    first = _record(0, 3, [0.5, np.nan, 0.25, 0.375], parents=[0, 1, 2, 3])
    second = _record(1, 2, [0.4375, 0.21875, 0.1875, 0.3125], parents=[0, 2, 2, 3], first_epoch=3)
    decisions = tuple(
        Decision(
            generation=0,
            member=member,
            source=2 if member == 1 else member,
            forced=member == 1,
            score=[0.5, np.nan, 0.25, 0.375][member],
            source_score=[0.5, 0.25, 0.25, 0.375][member],
            old_values={"learning_rate": 0.001 * (member + 1), "dropout_rate": 0.5},
            new_values={
                "learning_rate": 0.0035 if member == 1 else 0.001 * (member + 1),
                "dropout_rate": 0.5,
            },
        )
        for member in range(4)
    )
    best = BestMember(generation=1, member=2, score=0.1875, values=second.values[2], state=_state(2))
    first = GenerationRecord(**{**vars(first), "decisions": decisions})
    return RunHistory(cohorts=COHORTS, generations=(first, second), best=best, stop_reason="enough")


def values(learning_rate: float, dropout_rate: float) -> dict[str, float]:
    return {
        "learning_rate": learning_rate,
        "dropout_rate": dropout_rate,
        "coordinated_dropout_rate": 0.3,
        "l2_generator": 1e-4,
        "l2_controller": 1e-4,
        "l2_ic_encoder": 0.0,
        "l2_ci_encoder": 0.0,
        "kl_initial_condition": 1e-5,
        "kl_inferred_inputs": 1e-5,
    }


def _record(
    generation: int, epochs: int, scores: list[float], parents: list[int], first_epoch: int = 0
) -> GenerationRecord:
    searched = [{"learning_rate": 0.001 * (member + 1), "dropout_rate": 0.5} for member in range(4)]
    members = tuple(
        Member(index=index, values=searched[index], score=scores[index], parent=parents[index])
        for index in range(4)
    )
    return GenerationRecord(
        generation=generation,
        first_epoch=first_epoch,
        epochs=epochs,
        population=Population(members=members, generation=generation),
        values=tuple(values(**searched[index]) for index in range(4)),
        decisions=(),
        logs=tuple(_log(generation, epochs, [scores[member] for member in cohort]) for cohort in COHORTS),
        cohort_seconds=(1.5, 2.5),
        workers=("here", "there"),
        seconds=4.0,
    )


def _log(generation: int, epochs: int, scores: list[float]) -> EpochLog:
    """Every curve is a constant of its own, so a swapped column shows; the smoothed one is the scores."""
    shape = (epochs, len(scores))
    names = ("train_loss", "train_nll", "valid_nll", "kl_initial_condition", "kl_inferred_inputs")
    curves = {
        name: np.full(shape, number + 1.0) for number, name in enumerate((*names, "l2", "gradient_norm"))
    }
    return EpochLog(
        **curves,
        valid_nll_held_out=np.full(shape, np.nan),
        smoothed=np.tile(scores, (epochs, 1)),
        kl_ramp=np.linspace(0.0, 1.0, epochs) if generation == 0 else np.ones(epochs),
        l2_ramp=np.full(epochs, 0.5),
    )


def _state(member: int) -> CohortState:
    row = np.arange(6, dtype=np.float32)[None]
    return CohortState(
        member_ids=np.array([member]),
        weights=row,
        adam_m=row,
        adam_v=row,
        steps=np.array([10]),
        smoothed=np.array([0.1875]),
    )


class Killed(BaseException):
    """Stands for a process that ends in the middle of whatever it does."""


class FaultyStore:
    """A store in memory; `fault(number, name)` may raise before a write, or return what to raise after it."""

    address = "memory"

    def __init__(self):
        self.files = {}
        self.writes = []
        self.fault = lambda number, name: None
        self._versions = 0

    def read(self, name):
        if name not in self.files:
            raise MissingError(f"no {name}")
        return Stored(*self.files[name])

    def write(self, name, content, expected=Expected.ANYTHING):
        after = self.fault(len(self.writes), name)
        self.writes.append(name)
        found = self.files[name][1] if name in self.files else Expected.NOTHING
        if expected not in (Expected.ANYTHING, found):
            raise ConflictError(f"{name}: {expected} expected, {found} found")
        self._versions += 1
        self.files[name] = (content, str(self._versions))
        if after is not None:
            raise after
        return str(self._versions)

    def names(self, prefix=""):
        return sorted(name for name in self.files if name.startswith(prefix))

    def delete(self, name):
        self.files.pop(name, None)


@pytest.fixture
def store():
    return FaultyStore()


@pytest.fixture
def killed():
    return Killed
