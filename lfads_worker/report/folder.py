"""A finished run, read back from its result folder: the only thing that the rest of the report looks at."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autolfads_spec import AutoLFADSRun, load_run
from autolfads_spec.cost import CostRecord
from autolfads_spec.errors import StoreError
from lfads_worker.data.check import DataReport
from lfads_worker.report.inferred import Inferred, read_inferred
from lfads_worker.report.tables import History, read_history
from lfads_worker.results.files import plain
from lfads_worker.results.finished import NAMES, damage_told, read_results
from lfads_worker.results.output import Output


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """Everything that a report tells of.

    Attributes:
      results: the contents of results.json.
      cost: what it has cost until somebody last counted; None where nobody counts. No result: it may change
        without any other file.
    """

    run: AutoLFADSRun
    results: Mapping[str, Any]
    data_check: DataReport
    history: History
    inferred: Inferred
    cost: CostRecord | None = None


def read(output: Output, results: Mapping[str, Any] | None = None) -> FinishedRun:
    """The finished run in a folder.

    Args:
      output: of a run.
      results: what results.json is going to say; None where that file is there already.

    Raises:
      OutputError: if the folder holds no finished run, or its files are damaged.
    """
    document: Any = _fetched(output) if results is None else plain(results)
    paths = output.paths
    with damage_told(output.store.address):
        return FinishedRun(
            run=load_run(Path(paths.run_yaml)),
            results=document,
            data_check=DataReport(**json.loads(Path(paths.data_check).read_bytes())),
            history=read_history(paths, (document["best"]["generation"], document["best"]["member"])),
            inferred=read_inferred(Path(paths.rates), Path(paths.rates_matlab)),
            cost=_cost(output),
        )


def _cost(output: Output) -> CostRecord | None:
    try:
        return CostRecord.model_validate_json(output.store.read(NAMES.cost).content)
    except (StoreError, ValidationError):
        return None


def _fetched(output: Output) -> dict[str, Any]:
    """The contents of results.json, with all the files at hand that a report needs."""
    document = read_results(output)
    with damage_told(output.store.address):
        files = set(document["files"])
    output.fetch(files - {NAMES.best_weights} - ({NAMES.rates_matlab} if NAMES.rates in files else set()))
    return document
