import hashlib
import json

import pytest

from lfads_worker.errors import OutputError
from lfads_worker.results.finished import damage_told, read_results, require_unchanged
from lfads_worker.results.output import in_folder


def test_the_contents_of_results_json(tmp_path):
    (tmp_path / "results.json").write_text('{"run": "demo"}')

    assert read_results(in_folder(tmp_path)) == {"run": "demo"}


@pytest.mark.parametrize(
    ("folder", "found"), [("nowhere", "is empty or not there"), ("", r"is one without results\.json")]
)
def test_a_folder_without_a_finished_run_is_refused(tmp_path, folder, found):
    (tmp_path / "run.yaml").touch()

    with pytest.raises(OutputError, match=rf"finished run is wanted, .* {found}; give the folder"):
        read_results(in_folder(tmp_path / folder))


def test_half_a_file_is_told_as_damage(tmp_path):
    (tmp_path / "results.json").write_text('{"run": ')

    with pytest.raises(OutputError, match="whole files of a finished run are wanted"):
        read_results(in_folder(tmp_path))


def test_what_is_not_about_files_passes_unchanged(tmp_path):
    with pytest.raises(ZeroDivisionError), damage_told("out"):
        _ = 1 / 0


def test_a_changed_file_is_found_by_its_checksum(tmp_path):
    path = tmp_path / "best" / "weights.npz"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    results = {"files": {"best/weights.npz": {"sha256": hashlib.sha256(b"weights").hexdigest()}}}
    require_unchanged(path, "best/weights.npz", json.loads(json.dumps(results)))

    path.write_bytes(b"weightz")

    with pytest.raises(ValueError, match=r"best/weights\.npz is not the file"):
        require_unchanged(path, "best/weights.npz", results)
