"""A finished run, read back from its result folder: the only thing that the rest of the report looks at."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autolfads_spec import AutoLFADSRun, RunPaths, load_run
from lfads_worker.data.check import DataReport
from lfads_worker.report.inferred import Inferred, read_inferred
from lfads_worker.report.tables import History, read_history
from lfads_worker.results.files import local_path, plain
from lfads_worker.results.finished import damage_told, read_results


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """Everything that a report tells of.

    Attributes:
      results: the contents of results.json.
    """

    run: AutoLFADSRun
    results: Mapping[str, Any]
    data_check: DataReport
    history: History
    inferred: Inferred


def read(root: Path, results: Mapping[str, Any] | None = None) -> FinishedRun:
    """The finished run in a folder.

    Args:
      root: the output folder of a run.
      results: what results.json is going to say; None where that file is there already.

    Raises:
      OutputError: if the folder holds no finished run, or its files are damaged.
    """
    paths = RunPaths(str(root))
    document: Any = read_results(root) if results is None else plain(results)
    with damage_told(root):
        return FinishedRun(
            run=load_run(local_path(paths.run_yaml)),
            results=document,
            data_check=DataReport(**json.loads(local_path(paths.data_check).read_bytes())),
            history=read_history(paths, (document["best"]["generation"], document["best"]["member"])),
            inferred=read_inferred(local_path(paths.rates), local_path(paths.rates_matlab)),
        )
