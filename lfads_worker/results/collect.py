"""Everything a finished run leaves in its output folder.

The order is the promise: `results.json` is written last, so whoever sees it sees a finished run, and the
checksums in it cover every other result. Until then the folder holds whole files of an unfinished run, never
half of one. However often a run was interrupted, all results are the same bytes; measured times are in
`timing.csv` alone, which has no checksum. Numbers come in as values: this package trains nothing and loads
neither TensorFlow nor Ray.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autolfads_spec import AutoLFADSRun, RunPaths, dump_run
from lfads_worker.data.check import DataReport
from lfads_worker.data.spikes import SpikeData
from lfads_worker.history import RunHistory
from lfads_worker.results import rates_hdf5, rates_matlab, tables
from lfads_worker.results.document import provenance_of, results_document, settings_document
from lfads_worker.results.evaluation import evaluate
from lfads_worker.results.files import (
    FileRecord,
    atomic_write,
    remove,
    remove_leftovers,
    write_json,
    write_text,
)
from lfads_worker.results.output import Output
from lfads_worker.results.provenance import Provenance
from lfads_worker.results.quantities import Quantity, all_quantities
from lfads_worker.results.weights import write_weights
from lfads_worker.training.averages import PosteriorAverages

logger = logging.getLogger(__name__)

RatesWriter = Callable[[Path, Mapping[str, Quantity], SpikeData, Provenance, int], None]


def collect(
    run: AutoLFADSRun,
    data: SpikeData,
    report: DataReport,
    history: RunHistory,
    posterior: PosteriorAverages,
    weights: Mapping[str, NDArray[np.float32]],
    output: Output,
    before_mark: Callable[[Mapping[str, Any]], None] = lambda document: None,
) -> dict[str, Any]:
    """Write all results of a run; the last file, `results.json`, marks it as finished.

    May be called again after a crash: whole files are replaced one by one, a mark of an earlier time is
    removed first.

    Args:
      run: the resolved run.
      data: the recording it was trained on.
      report: what the data check found.
      history: all generations and the best member.
      posterior: what the best member infers about every trial.
      weights: the best member's weights by name, without the members axis.
      output: where it goes.
      before_mark: called with the contents of `results.json` when every other file is made.

    Returns:
      The contents of `results.json`, with NaN where the file has null.

    Raises:
      OutputError: if the folder cannot be written.
    """
    paths = output.paths
    remove(Path(paths.results))
    remove_leftovers(output.folder)
    quantities = all_quantities(data, posterior, run.spec.model.output_distribution)
    files = {
        paths.run_yaml: write_text(Path(paths.run_yaml), dump_run(run)),
        paths.data_check: write_json(Path(paths.data_check), report.to_json()),
        **_write_tables(history, paths),
        **_write_best(run, data, history, weights, paths),
        **_write_rates(run, data, history, quantities, posterior.samples, paths),
    }
    # Not among `files`: times differ whenever a generation is done again, all the rest does not.
    tables.write_timing(Path(paths.timing), history)
    document = results_document(
        run,
        data,
        history,
        evaluate(data, posterior, run.spec.model.output_distribution, run.spec.model.ic_segment_bins),
        {_name(path, output): record for path, record in files.items()},
        posterior_samples=posterior.samples,
        notes=_notes(run, quantities),
    )
    before_mark(document)
    output.publish(_name(path, output) for path in (*files, paths.timing))
    write_json(Path(paths.results), document)
    output.publish([_name(paths.results, output)])
    logger.info("results: %d files in %s", len(files) + 2, output.store.address)
    return document


def keep_data_check(report: DataReport, output: Output) -> None:
    """Shows what the data check found while the run trains; `collect` writes it anew.

    Raises:
      OutputError: if the folder cannot be written.
    """
    path = output.paths.data_check
    write_json(Path(path), report.to_json())
    output.publish([_name(path, output)])


def _name(path: str, output: Output) -> str:
    return Path(path).relative_to(output.folder).as_posix()


def _write_tables(history: RunHistory, paths: RunPaths) -> dict[str, FileRecord]:
    members = history.generations[-1].population.members
    logs = {
        paths.training_log(member.index): tables.write_training_log(
            Path(paths.training_log(member.index)), history, member.index
        )
        for member in members
    }
    return {
        paths.population: tables.write_population(Path(paths.population), history),
        paths.hyperparameters: tables.write_hyperparameters(Path(paths.hyperparameters), history),
        paths.decisions: tables.write_decisions(Path(paths.decisions), history),
        **logs,
    }


def _write_best(
    run: AutoLFADSRun,
    data: SpikeData,
    history: RunHistory,
    weights: Mapping[str, NDArray[np.float32]],
    paths: RunPaths,
) -> dict[str, FileRecord]:
    settings = settings_document(run, data, history, weights)
    return {
        paths.best_weights: write_weights(Path(paths.best_weights), weights),
        paths.best_settings: write_json(Path(paths.best_settings), settings),
    }


def _write_rates(
    run: AutoLFADSRun,
    data: SpikeData,
    history: RunHistory,
    quantities: Mapping[str, Quantity],
    samples: int,
    paths: RunPaths,
) -> dict[str, FileRecord]:
    """The files of rates in the formats that were asked for."""
    provenance = provenance_of(run, data, history)
    formats = {
        "HDF5": (paths.rates, rates_hdf5.write),
        "Matlab": (paths.rates_matlab, rates_matlab.write),
    }

    def write(path: str, writer: RatesWriter) -> FileRecord:
        return atomic_write(
            Path(path), lambda partial: writer(partial, quantities, data, provenance, samples)
        )

    return {formats[name][0]: write(*formats[name]) for name in run.spec.output.formats}


def _notes(run: AutoLFADSRun, quantities: Mapping[str, Quantity]) -> list[str]:
    if "Matlab" not in run.spec.output.formats:
        return []
    notes = [
        f"rates.mat: {name} is larger than the 2 GiB that a MATLAB file of version 7 holds; it is in rates.h5"
        for name in rates_matlab.too_large(quantities)
    ]
    for note in notes:
        logger.warning("%s", note)
    return notes
