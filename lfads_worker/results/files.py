"""Files that are either whole or not there.

All results pass through `atomic_write`: a temporary file in the same folder, fsync, then a rename, so that
neither a crash nor a full disk leaves half a file under a final name. This module knows nothing about what is
written. What a run needs to go on is committed through a `Store` instead, see `commit`, and results reach
Cloud Storage by `output`.
"""

import csv
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autolfads_spec.store import PARTIAL_SUFFIX, put_in_place
from lfads_worker.errors import OutputError

Cell = str | int | float | bool | None


class FileRecord(NamedTuple):
    """What `results.json` says about a file, so that a copy can be verified."""

    sha256: str
    bytes: int


def atomic_write(path: Path, write: Callable[[Path], None]) -> FileRecord:
    """Let `write` make a temporary file, then put it in place of `path` in one step.

    Whatever goes wrong, `path` keeps what it held before and the temporary file is removed.

    Args:
      path: the final name; missing folders are made.
      write: called with the temporary name, in the same folder; creates that file and closes it.

    Raises:
      OutputError: if the file cannot be written; anything else that `write` raises passes unchanged.
    """
    records = []

    def write_and_record(partial: Path) -> None:
        write(partial)
        records.append(_record(partial))

    try:
        put_in_place(path, write_and_record)
    except OSError as error:
        raise OutputError(
            f"output: {path} should be written, but that failed: {error.strerror or error}; "
            "check the free space and the permissions of the output folder, then run again"
        ) from error
    return records[0]


def write_text(path: Path, text: str) -> FileRecord:
    """Write a text in UTF-8 with Unix line ends."""
    return atomic_write(path, lambda partial: _write_bytes(partial, text.encode()))


def write_json(path: Path, document: object) -> FileRecord:
    """Write strict JSON: every reader takes it, because NaN and infinity become null."""
    return write_text(path, json_text(document, indent=2) + "\n")


def json_text(document: object, indent: int | None = None) -> str:
    """Strict JSON; keys stay in their order, NaN and infinity become null."""
    return json.dumps(plain(document), indent=indent, allow_nan=False, ensure_ascii=False)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> FileRecord:
    """Write a table with one header line; a number that is missing or NaN is an empty cell."""
    return atomic_write(path, lambda partial: _write_rows(partial, columns, rows))


def remove(path: Path) -> None:
    """Remove a file if it is there.

    Raises:
      OutputError: if it is there and stays.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"output: {path} should be removed, but that failed: {error.strerror or error}; "
            "check that the output is a folder and its permissions, or choose another output.uri"
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process left anywhere in `folder`."""
    if folder.is_dir():
        for leftover in folder.rglob(f".*{PARTIAL_SUFFIX}"):
            remove(leftover)


def plain(value: object) -> object:
    """The same value in the types of JSON: numpy's arrays and numbers unpacked, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    raise TypeError(f"JSON holds texts, numbers, lists and mappings; this is a {type(value).__name__}")


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        for row in rows:
            if len(row) != len(columns):
                raise ValueError(
                    f"a row wants {len(columns)} cells, as the header has; it has {len(row)}: {row}"
                )
            table.writerow([_cell(value) for value in row])


def _cell(value: Cell) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    # repr: the shortest text that reads back as the same number.
    return value if isinstance(value, str) else repr(value)


def _record(path: Path) -> FileRecord:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileRecord(sha256=digest.hexdigest(), bytes=file.tell())
