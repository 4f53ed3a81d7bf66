"""Made-up finished runs, written by the real writer: long and short, with and without what may be there."""

import math
from dataclasses import replace

import numpy as np
import pytest

from autolfads_spec import load_run
from lfads_worker.data.check import check
from lfads_worker.data.spikes import SpikeData
from lfads_worker.history import BestMember, GenerationRecord, RunHistory
from lfads_worker.pbt.evolve import Decision
from lfads_worker.pbt.population import Member, Population
from lfads_worker.report import folder
from lfads_worker.results.collect import collect
from lfads_worker.results.output import in_folder
from lfads_worker.training.averages import PosteriorAverages
from lfads_worker.training.state import CohortState, EpochLog

RANGES = {"learning_rate": (1e-5, 5e-3), "dropout_rate": (0.0, 0.6), "kl_initial_condition": (1e-6, 1e-3)}
FIXED = {
    "coordinated_dropout_rate": 0.3,
    "l2_generator": 1e-4,
    "l2_controller": 1e-4,
    "l2_ic_encoder": 0.0,
    "l2_ci_encoder": 0.0,
    "kl_inferred_inputs": 1e-5,
}


@pytest.fixture
def finished(tmp_path):
    """`finished(generations=…, …)`: the folder of a made-up run; see `make_finished`."""
    return lambda **kwargs: make_finished(tmp_path / "out", **kwargs)


@pytest.fixture(scope="session", name="make_finished")
def make_finished_fixture():
    return make_finished


@pytest.fixture(scope="session")
def reported(tmp_path_factory):
    """A folder with a report; for reading only."""
    from lfads_worker.report.write import write_report

    root = make_finished(
        tmp_path_factory.mktemp("reported") / "out", generations=3, members=4, diverged=[(1, 2)]
    )
    write_report(in_folder(root))
    return root


@pytest.fixture
def read(finished):
    """The same, read back."""
    return lambda **kwargs: folder.read(in_folder(finished(**kwargs)))


def make_finished(
    root,
    generations=2,
    members=2,
    epochs=3,
    *,
    trials=20,
    time=12,
    neurons=5,
    held_out=0,
    forward=0,
    segment=0,
    factors=4,
    inputs=2,
    gaussian=False,
    truth=True,
    conditions=4,
    condition_names=None,
    searched=True,
    diverged=(),
    samples=5,
    formats=("HDF5", "Matlab"),
):
    """Writes a result folder.

    Args:
      segment: bins of the initial-condition segment.
      conditions: how many; 0: not known.
      condition_names: their words.
      diverged: (generation, member) without a score.
    """
    rng = np.random.default_rng(5)
    run = _run(root, generations, members, epochs, gaussian, searched, inputs, segment, formats)
    data = _recording(rng, trials, time, neurons, held_out, forward, gaussian, truth, conditions)
    posterior = _posterior(rng, data, factors, inputs, segment, samples)
    data = replace(data, condition_names=condition_names)
    history = _history(rng, generations, members, epochs, searched, diverged, held_out)
    weights = {"readout/bias": np.zeros(neurons, np.float32)}
    report = check(data, run.spec.model.output_distribution)
    collect(run, data, report, history, posterior, weights, in_folder(root))
    return root


def _run(root, generations, members, epochs, gaussian, searched, inputs, segment, formats):
    space = [
        {"name": "learningRate", "distribution": "Uniform", "min": 1e-5, "max": 5e-3},
        {"name": "dropoutRate", "distribution": "Uniform", "min": 0.0, "max": 0.6},
        {"name": "klInitialCondition", "distribution": "LogUniform", "min": 1e-6, "max": 1e-3},
    ]
    ramp = {"epochs": epochs}
    return load_run(
        {
            "apiVersion": "autolfads.dev/v1alpha1",
            "kind": "AutoLFADSRun",
            "metadata": {"name": "made-up"},
            "spec": {
                "data": {"uri": "data.h5"},
                "output": {"uri": str(root), "formats": list(formats)},
                "model": {
                    "outputDistribution": "Gaussian" if gaussian else "Poisson",
                    "icSegmentBins": segment,
                    **({} if inputs else {"controllerUnits": 0, "ciEncoderUnits": 0, "inferredInputs": 0}),
                },
                "training": {"klRamp": ramp, "l2Ramp": ramp},
                "population": {
                    "size": members,
                    "generations": generations,
                    "epochsPerGeneration": epochs,
                    "searchSpacePreset": "None",
                    "searchSpace": space if searched else [],
                },
            },
        }
    )


def _recording(rng, trials, time, neurons, held_out, forward, gaussian, truth, conditions):
    label = np.arange(trials) % conditions if conditions else np.arange(trials)
    phase = label[:, None, None] + np.arange(neurons) / 2
    rates = 0.6 + 0.5 * np.sin(np.arange(time)[None, :, None] * 2 * np.pi / time + phase)
    spikes = rates + 0.2 * rng.standard_normal(rates.shape) if gaussian else rng.poisson(rates)
    return SpikeData(
        spikes=spikes.astype(np.float32),
        train=np.flatnonzero(np.arange(trials) % 5),
        valid=np.flatnonzero(np.arange(trials) % 5 == 0),
        held_in_neurons=neurons - held_out,
        encoded_bins=time - forward,
        bin_width_ms=20.0,
        external_inputs=np.zeros((trials, time, 0), np.float32),
        true_rates=rates.astype(np.float32) if truth else None,
        conditions=label if conditions else None,
        fingerprint="ab" * 32,
        source="data.h5",
    )


def _posterior(rng, data, factors, inputs, segment, samples):
    trials, time, _ = data.spikes.shape
    smooth = rng.standard_normal((trials, 3, factors)) @ np.linspace(0.5, 2, factors * factors).reshape(
        factors, factors
    )
    basis = np.stack([np.sin(np.arange(time) * (k + 1) * np.pi / time) for k in range(3)])
    latent = np.einsum("nkf,kt->ntf", smooth, basis)
    known = data.spikes.mean((0, 1)) if data.true_rates is None else data.true_rates
    rates = np.broadcast_to(
        np.maximum(known * (1 + 0.1 * rng.standard_normal(known.shape)), 0.01), data.spikes.shape
    )
    moving = rng.standard_normal((trials, time, inputs)).cumsum(1)

    def whole(values):
        values = np.array(values, np.float32)
        values[:, :segment] = np.nan
        return values

    spread = 0.1 if samples else 0.0
    return PosteriorAverages(
        rates=whole(rates),
        rates_std=whole(np.full(rates.shape, spread)),
        factors=whole(latent),
        factors_std=whole(np.full(latent.shape, spread)),
        generator_states=whole(latent),
        generator_states_std=whole(latent),
        inferred_inputs=whole(moving),
        inferred_inputs_std=whole(moving),
        generator_inputs=whole(moving),
        controller_states=whole(moving),
        ic_mean=np.zeros((trials, 2), np.float32),
        ic_std=np.ones((trials, 2), np.float32),
        co_means=whole(moving),
        co_stds=whole(np.ones(moving.shape)),
        initial_states=np.zeros((trials, 3), np.float32),
        initial_states_std=np.zeros((trials, 3), np.float32),
        samples=samples,
    )


def _history(rng, generations, members, epochs, searched, diverged, held_out):
    """Members improve towards an asymptote; each generation the worse half copies the better half."""
    names = list(RANGES) if searched else []
    values = [{name: _drawn(rng, *RANGES[name], name) for name in names} for _ in range(members)]
    offset = rng.uniform(0, 0.03, members)
    parents = list(range(members))
    records, first_epoch = [], 0
    for generation in range(generations):
        length = 2 * epochs if generation == 0 else epochs
        at = first_epoch + np.arange(1, length + 1)
        curve = (
            0.4
            + 0.2 * np.exp(-at / (2.0 * epochs))[:, None]
            + offset
            + 0.002 * rng.standard_normal((length, members))
        )
        scores = curve[-1].copy()
        for when, member in diverged:
            if when == generation:
                curve[length // 2 :, member] = scores[member] = np.nan
        decisions, next_values, next_parents = [], list(values), list(range(members))
        ranked = np.argsort(np.where(np.isnan(scores), np.inf, scores))
        for place, member in enumerate(int(m) for m in ranked):
            source = int(ranked[place - members // 2]) if place >= (members + 1) // 2 else member
            if source != member:
                next_values[member] = {
                    name: float(np.clip(values[source][name] * rng.uniform(0.7, 1.4), *RANGES[name]))
                    for name in names
                }
                next_parents[member] = source
            decisions.append(
                Decision(
                    generation=generation,
                    member=member,
                    source=source,
                    forced=bool(np.isnan(scores[member])),
                    score=float(scores[member]),
                    source_score=float(scores[source]),
                    old_values=values[member],
                    new_values=next_values[member],
                )
            )
        last = generation == generations - 1
        records.append(
            GenerationRecord(
                generation=generation,
                first_epoch=first_epoch,
                epochs=length,
                population=Population(
                    members=tuple(
                        Member(index=i, values=values[i], score=float(scores[i]), parent=parents[i])
                        for i in range(members)
                    ),
                    generation=generation,
                ),
                values=tuple(_all_nine(one) for one in values),
                decisions=() if last else tuple(sorted(decisions, key=lambda d: d.member)),
                logs=(_log(at, curve, epochs, held_out),),
                cohort_seconds=(1.0,),
                workers=("here",),
                seconds=1.0,
            )
        )
        offset = np.array([offset[next_parents[i]] * rng.uniform(0.7, 1.0) for i in range(members)])
        values, parents = next_values, next_parents
        first_epoch += length
    best = min(
        (m.score, r.generation, m.index)
        for r in records
        for m in r.population.members
        if not math.isnan(m.score)
    )
    row = np.zeros((1, 5), np.float32)
    state = CohortState(np.array([best[2]]), row, row, row, np.array([10]), np.array([best[0]]))
    return RunHistory(
        cohorts=(tuple(range(members)),),
        generations=tuple(records),
        best=BestMember(best[1], best[2], best[0], records[best[1]].values[best[2]], state),
        stop_reason=f"all {generations} generations are done",
    )


def _drawn(rng, low, high, name):
    if name == "kl_initial_condition":
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return float(rng.uniform(low, high))


def _all_nine(values):
    start = {"learning_rate": 0.004, "dropout_rate": 0.05, "kl_initial_condition": 1e-5}
    return {**start, **FIXED, **values}


def _log(at, curve, epochs, held_out):
    ones = np.ones(curve.shape)
    return EpochLog(
        train_loss=1e4 * curve,
        train_nll=curve - 0.002,
        valid_nll=curve,
        valid_nll_held_out=curve + 0.02 if held_out else np.full(curve.shape, np.nan),
        smoothed=curve,
        kl_initial_condition=ones * (5 + 60 * np.exp(-at / epochs))[:, None],
        kl_inferred_inputs=ones * (20 - 10 * np.exp(-at / epochs))[:, None],
        l2=1e-4 * ones,
        gradient_norm=10 * ones,
        kl_ramp=np.minimum(at / (epochs + 1), 1.0),
        l2_ramp=np.minimum(at / (epochs + 1), 1.0),
    )
