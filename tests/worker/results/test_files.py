import errno
import hashlib
import json

import numpy as np
import pytest

from lfads_worker.errors import OutputError
from lfads_worker.results.files import (
    atomic_write,
    json_text,
    remove_leftovers,
    write_csv,
    write_json,
    write_text,
)


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_there_with_its_checksum(tmp_path):
    record = write_text(tmp_path / "a.txt", "naïve\n")

    content = (tmp_path / "a.txt").read_bytes()
    assert content == "naïve\n".encode()
    assert record.sha256 == hashlib.sha256(content).hexdigest()
    assert record.bytes == len(content) == 7
    assert entries(tmp_path) == ["a.txt"]


def test_missing_folders_are_made(tmp_path):
    write_text(tmp_path / "best" / "deep" / "a.txt", "x")

    assert (tmp_path / "best" / "deep" / "a.txt").read_text() == "x"


def test_a_writer_that_raises_leaves_nothing(tmp_path):
    def half(partial):
        partial.write_text("half")
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        atomic_write(tmp_path / "a.txt", half)

    assert entries(tmp_path) == []


def test_a_writer_that_raises_leaves_the_old_file_as_it_was(tmp_path):
    write_text(tmp_path / "a.txt", "old")

    def half(partial):
        partial.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "a.txt", half)

    assert (tmp_path / "a.txt").read_text() == "old"
    assert entries(tmp_path) == ["a.txt"]


def test_while_it_is_being_written_the_final_name_does_not_exist(tmp_path):
    seen = []

    def write(partial):
        partial.write_text("half")
        seen.append((partial.parent, (tmp_path / "a.txt").exists()))

    atomic_write(tmp_path / "a.txt", write)

    assert seen == [(tmp_path, False)]


def test_a_full_disk_is_a_sentence_that_names_the_file(tmp_path):
    def write(partial):
        partial.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(
        OutputError, match=r"rates\.h5 should be written.*No space left on device.*free space"
    ):
        atomic_write(tmp_path / "rates.h5", write)

    assert entries(tmp_path) == []


def test_an_output_folder_that_is_a_file_is_a_sentence(tmp_path):
    (tmp_path / "out").write_text("a file")

    with pytest.raises(OutputError, match="should be written, but that failed"):
        write_text(tmp_path / "out" / "a.txt", "x")


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path):
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / ".weights.npz.0a1b2c3d.partial").write_text("half")
    (tmp_path / "my.partial").write_text("the user's own")

    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "not-there")

    assert entries(tmp_path) == ["best", "my.partial"]
    assert entries(tmp_path / "best") == []


def test_json_is_strict_and_nan_is_null(tmp_path):
    document = {
        "nan": float("nan"),
        "infinite": np.float32("inf"),
        "array": np.array([1.5, np.nan]),
        "count": np.int64(3),
        "flag": np.bool_(True),
        "tuple": (1, None, "é"),
    }

    write_json(tmp_path / "a.json", document)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    assert json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse) == {
        "nan": None,
        "infinite": None,
        "array": [1.5, None],
        "count": 3,
        "flag": True,
        "tuple": [1, None, "é"],
    }


def test_json_refuses_what_it_cannot_hold():
    with pytest.raises(TypeError, match="this is a object"):
        json_text({"a": object()})


def test_csv_cells_read_back_as_the_same_values(tmp_path):
    rows = [
        [1, 0.1, True, "plain", None],
        [np.int64(2), np.float64(1e-5), False, 'a "quoted", text', float("nan")],
        [3, float("inf"), np.bool_(True), "", np.float32("nan")],
    ]

    write_csv(tmp_path / "a.csv", ("number", "value", "flag", "text", "missing"), rows)

    assert (tmp_path / "a.csv").read_bytes().decode() == (
        "number,value,flag,text,missing\n"
        "1,0.1,true,plain,\n"
        '2,1e-05,false,"a ""quoted"", text",\n'
        "3,inf,true,,\n"
    )


def test_a_csv_row_of_the_wrong_length_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="a row wants 2 cells"):
        write_csv(tmp_path / "a.csv", ("a", "b"), [[1, 2], [3]])

    assert entries(tmp_path) == []
