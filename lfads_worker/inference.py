"""A finished run applied to new trials of the same neurons: nothing is trained, rates and factors come out.

The recording is read as the run's own was, and must fit the model in everything but the number of trials. The
files that come out have the names and shapes of the run's own rates.h5 and rates.mat.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autolfads_spec import AutoLFADSRun, RunPaths, load_run
from autolfads_spec.data import address_problem
from lfads_worker.data.files import load_new_trials
from lfads_worker.data.spikes import SpikeData
from lfads_worker.errors import DataError, OutputError
from lfads_worker.results import rates_hdf5, rates_matlab
from lfads_worker.results.evaluation import evaluate
from lfads_worker.results.files import atomic_write
from lfads_worker.results.finished import NAMES, damage_told, read_results, require_unchanged
from lfads_worker.results.output import Output, open_output
from lfads_worker.results.provenance import Provenance, package_version
from lfads_worker.results.quantities import all_quantities
from lfads_worker.training.averages import PosteriorAverages


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """What a finished run leaves for those who go on with its model.

    Attributes:
      address: of its output folder.
      settings: the contents of best/settings.json.
      weights: the best member's, by name.
    """

    address: str
    run: AutoLFADSRun
    settings: Mapping[str, Any]
    weights: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class NewRates:
    """What was inferred from new trials.

    Attributes:
      files: where it was written.
      metrics: how well the new trials are explained, as `results.json` tells it of validation trials.
    """

    data: SpikeData
    files: tuple[str, ...]
    metrics: Mapping[str, Any]


_MISFITS = {
    "bin_width_ms": "bins of {:g} ms are wanted, as the model was trained on, {:g} ms were found; save the "
    "recording in the same bins",
    "neurons": "the {} neurons that the model was trained on are wanted, {} were found; give the same "
    "neurons in the same order",
    "held_in_neurons": "{} neurons to infer from are wanted, {} were found; hold out the same neurons",
    "bins": "trials of {} bins are wanted, as the model was trained on, {} were found; cut the trials to "
    "that length",
    "encoded_bins": "{} bins to infer from are wanted, {} were found; leave the same bins to forecast",
    "external_inputs": "{} external inputs are wanted, {} were found; give those of the run",
}
# What follows from another misfit is not told as well.
_IMPLIED = {"held_in_neurons": "neurons", "encoded_bins": "bins"}

LESS_MEMORY = (
    "give the trials in several recordings, or, on a GPU, infer on the CPU with CUDA_VISIBLE_DEVICES=-1 "
    "before the command"
)

# run, recording, posterior samples → what the best member infers
Infer = Callable[[TrainedRun, SpikeData, int], PosteriorAverages]


def apply(
    output: Output,
    recording: str,
    infer: Infer,
    out: str | None = None,
    samples: int | None = None,
    overwrite: bool = False,
) -> NewRates:
    """Infer rates and factors of a new recording and write them.

    Args:
      output: of a finished run.
      recording: address of the new recording.
      infer: passes the recording through the model.
      out: address of the HDF5 file; None for one in the run's folder, named like the recording.
      samples: posterior samples to average, 0 for the posterior mean; None as in the run.
      overwrite: replace files that are there.

    Raises:
      OutputError: if the folder holds no finished run, or the files cannot be written.
      DataError: if the recording cannot be read or does not fit the model.
    """
    trained = read_trained(output)
    formats = trained.run.spec.output.formats
    with _destination(output, recording, out) as (place, hdf5):
        names = (hdf5, *((f"{os.path.splitext(hdf5)[0]}.mat",) if "Matlab" in formats else ()))
        if not overwrite:
            _require_free(place, names)
        data = load_fitting(trained, recording)
        averaged = trained.run.spec.output.posterior_samples if samples is None else samples
        posterior = infer(trained, data, averaged)
        _write(trained, data, posterior, [place.path(name) for name in names])
        place.publish(names)
    model = trained.run.spec.model
    judged = replace(data, train=data.train[:0], valid=np.arange(data.trials))
    metrics = evaluate(judged, posterior, model.output_distribution, model.ic_segment_bins)
    return NewRates(data, tuple(place.shown(name) for name in names), metrics["valid"])


def read_trained(output: Output) -> TrainedRun:
    """The model in the folder of a finished run; files that changed since are refused.

    Raises:
      OutputError: if there is no finished run, or one of its files is damaged.
    """
    results, address = read_results(output), output.store.address
    needed = (NAMES.run_yaml, NAMES.best_settings, NAMES.best_weights)
    output.fetch(needed)
    with damage_told(address):
        for name in needed:
            require_unchanged(output.path(name), name, results)
        with np.load(output.path(NAMES.best_weights), allow_pickle=False) as arrays:
            weights = {name: arrays[name] for name in arrays.files}
        settings = json.loads(output.path(NAMES.best_settings).read_bytes())
        return TrainedRun(address, load_run(output.path(NAMES.run_yaml)), settings, weights)


def load_fitting(trained: TrainedRun, recording: str) -> SpikeData:
    """The new recording, read as the run's own was.

    Raises:
      DataError: if it cannot be read, or differs from the run's own in more than the number of trials.
    """
    spec = trained.run.spec
    how = spec.data.model_copy(update={"uri": recording, "sha256": None})
    try:
        data = load_new_trials(how, spec.model.output_distribution)
    except DataError as error:
        raise DataError(
            f"{error} (read with the data settings of {RunPaths(trained.address).run_yaml})"
        ) from error
    problems = list(_misfits(trained.settings["recording"], data))
    if problems:
        raise DataError("\n".join(f"{recording}: {problem}" for problem in problems))
    return data


def with_tensorflow(trained: TrainedRun, data: SpikeData, samples: int) -> PosteriorAverages:
    """Passes the recording through the model, in this process."""
    from lfads_worker.execution.device import find_devices
    from lfads_worker.execution.environment import loading, multiply_in_float32, prepare_this_process
    from lfads_worker.execution.trainers import full_memory_told

    threads = None if find_devices().kind == "gpu" else 1  # as the run's own workers: the same bits
    prepare_this_process(threads)
    with loading():
        from lfads_worker.training.inference import infer

    if threads is None:
        multiply_in_float32()
    try:
        with full_memory_told(f"its {data.trials} trials and the model", "RECORDING", LESS_MEMORY):
            return infer(
                trained.run.spec, data, trained.weights, trained.settings["member"], samples, threads
            )
    except ValueError as error:
        raise OutputError(
            f"results: weights of this program's model are wanted, those in {trained.address} were written "
            f"by autolfads {trained.settings['code_version']} and this is {package_version('autolfads')} "
            f"({error}); use the version that trained the run"
        ) from error


def _misfits(wanted: Mapping[str, Any], data: SpikeData) -> Iterator[str]:
    """A sentence for each thing in which the recording differs from the run's own."""
    found = {
        "bin_width_ms": data.bin_width_ms,
        "neurons": data.neurons,
        "held_in_neurons": data.held_in_neurons,
        "bins": data.time,
        "encoded_bins": data.encoded_bins,
        "external_inputs": data.n_features,
    }
    different = {name for name, value in found.items() if not np.isclose(value, wanted[name], rtol=1e-6)}
    for name, sentence in _MISFITS.items():
        if name in different and _IMPLIED.get(name) not in different:
            yield sentence.format(wanted[name], found[name])


def _write(trained: TrainedRun, data: SpikeData, posterior: PosteriorAverages, files: Sequence[Path]) -> None:
    settings, output_distribution = trained.settings, trained.run.spec.model.output_distribution
    provenance = Provenance(
        run_name=trained.run.metadata.name,
        seed=settings["seed"],
        fingerprint=data.fingerprint,
        source=data.source,
        output_distribution=output_distribution,
        generation=settings["generation"],
        member=settings["member"],
        score=settings["score"],
        hyperparameters=settings["hyperparameters"],
    )
    content = (all_quantities(data, posterior, output_distribution), data, provenance, posterior.samples)
    for path, write in zip(files, (rates_hdf5.write, rates_matlab.write), strict=False):
        atomic_write(path, partial(_write_one, write, content))


def _write_one(write: Callable[..., None], content: tuple[object, ...], path: Path) -> None:
    write(path, *content)


@contextmanager
def _destination(output: Output, recording: str, out: str | None) -> Iterator[tuple[Output, str]]:
    """The folder that rates go to, and the name of the HDF5 file in it."""
    if out is None:
        yield output, f"inferred/{Path(recording).stem}.h5"
        return
    folder, name = os.path.split(out)
    if os.path.splitext(name)[1].lower() not in (".h5", ".hdf5") or address_problem(out):
        raise OutputError(
            f"--out: the name of an HDF5 file is wanted (.h5), {out} was found; a MATLAB file is put "
            "beside it"
        )
    with open_output(folder) as place:
        yield place, name


def _require_free(place: Output, names: Sequence[str]) -> None:
    there = [place.shown(name) for name in names if place.store.version(name) is not None]
    if there:
        raise OutputError(
            f"--out: a new file is wanted, {' and '.join(there)} found there already; "
            "give another name, or --overwrite"
        )
