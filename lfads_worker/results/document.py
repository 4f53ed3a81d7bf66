"""What `results.json` and `best/settings.json` say: plain mappings, made from values.

`results.json` is the page a person, a script or an operator reads first: how good, from what, made by which
versions, and which files with which checksums. `best/settings.json` is what the weights beside it need to be
used again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autolfads_spec import AutoLFADSRun
from lfads_worker.data.spikes import SpikeData
from lfads_worker.history import RunHistory
from lfads_worker.results.files import FileRecord
from lfads_worker.results.provenance import Provenance, package_version, versions

RESULTS_FORMAT = "autolfads results 1"
SETTINGS_FORMAT = "autolfads best member 1"


def provenance_of(run: AutoLFADSRun, data: SpikeData, history: RunHistory) -> Provenance:
    """Where the rates come from."""
    return Provenance(
        run_name=run.metadata.name,
        seed=run.spec.population.seed,
        fingerprint=data.fingerprint,
        source=data.source,
        output_distribution=run.spec.model.output_distribution,
        generation=history.best.generation,
        member=history.best.member,
        score=history.best.score,
        hyperparameters=history.best.values,
    )


def settings_document(
    run: AutoLFADSRun, data: SpikeData, history: RunHistory, weights: Mapping[str, NDArray[np.float32]]
) -> dict[str, Any]:
    """What the best member's weights need to be used again."""
    return {
        "format": SETTINGS_FORMAT,
        "run": run.metadata.name,
        "seed": run.spec.population.seed,
        "generation": history.best.generation,
        "member": history.best.member,
        "score": history.best.score,
        "hyperparameters": dict(history.best.values),
        "model": run.spec.model.model_dump(mode="json", by_alias=True),
        "recording": _recording(data),
        "parameters": {name: list(array.shape) for name, array in weights.items()},
        "code_version": package_version("autolfads"),
    }


def results_document(
    run: AutoLFADSRun,
    data: SpikeData,
    history: RunHistory,
    metrics: Mapping[str, Any],
    files: Mapping[str, FileRecord],
    *,
    posterior_samples: int,
    notes: Sequence[str],
) -> dict[str, Any]:
    """The summary of a finished run.

    Args:
      run: the resolved run.
      data: the recording it was trained on.
      history: all generations and the best member.
      metrics: from `evaluation.evaluate`.
      files: name under the output folder → checksum and size, of every other result.
      posterior_samples: how many were averaged.
      notes: sentences for the user, such as what was left out.
    """
    last = history.generations[-1]
    return {
        "format": RESULTS_FORMAT,
        "run": run.metadata.name,
        "seed": run.spec.population.seed,
        "generations": len(history.generations),
        "epochs": last.first_epoch + last.epochs,
        "members": len(last.population.members),
        "stop_reason": history.stop_reason,
        "best": _best(history),
        "metrics": dict(metrics),
        "posterior_samples": posterior_samples,
        "data": _recording(data),
        "versions": versions(),
        "notes": list(notes),
        "files": {name: record._asdict() for name, record in sorted(files.items())},
    }


def _best(history: RunHistory) -> dict[str, Any]:
    """The best member and what it was measured at in the last epoch of its generation."""
    best = history.best
    record = next(record for record in history.generations if record.generation == best.generation)
    cohort, row = history.row_of(best.member)
    log = record.logs[cohort]
    return {
        "generation": best.generation,
        "member": best.member,
        "score": best.score,
        "valid_nll": float(log.valid_nll[-1, row]),
        "valid_nll_held_out": float(log.valid_nll_held_out[-1, row]),
        "train_nll": float(log.train_nll[-1, row]),
        "hyperparameters": dict(best.values),
    }


def _recording(data: SpikeData) -> dict[str, Any]:
    return {
        "source": data.source,
        "fingerprint": data.fingerprint,
        "trials": data.trials,
        "train_trials": len(data.train),
        "valid_trials": len(data.valid),
        "bins": data.time,
        "encoded_bins": data.encoded_bins,
        "neurons": data.neurons,
        "held_in_neurons": data.held_in_neurons,
        "external_inputs": data.n_features,
        "bin_width_ms": data.bin_width_ms,
    }
