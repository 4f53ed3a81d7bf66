import hashlib
import json
import re

import pytest

from lfads_worker.errors import OutputError
from lfads_worker.report.write import write_report
from lfads_worker.results.output import in_folder


def content(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_report_touches_no_file_of_the_results(reported):
    files = json.loads((reported / "results.json").read_text())["files"]

    assert files
    for name, record in files.items():
        assert hashlib.sha256((reported / name).read_bytes()).hexdigest() == record["sha256"], name


def test_drawing_again_gives_the_same_bytes(reported):
    before = content(reported)

    page = write_report(in_folder(reported))

    assert page == str(reported / "report" / "report.html")
    assert content(reported) == before


def test_the_report_can_be_drawn_before_results_are_marked_as_finished(finished):
    root = finished()
    document = json.loads((root / "results.json").read_text())
    (root / "results.json").unlink()

    write_report(in_folder(root), document)

    names = {path.name for path in (root / "report").iterdir()}
    assert names == {
        "report.html",
        *("rates.png", "conditions.png", "factors.png", "inferred_inputs.png", "training.png"),
        "hyperparameters.png",
    }
    assert not (root / "results.json").exists()


def without_columns(root, *names):
    """Training logs as an earlier version wrote them."""
    for path in (root / "training_logs").iterdir():
        header, *rows = [line.split(",") for line in path.read_text().splitlines()]
        kept = [i for i, name in enumerate(header) if name not in names]
        path.write_text("".join(",".join(row[i] for i in kept) + "\n" for row in (header, *rows)))


def test_a_run_of_a_version_that_wrote_no_divergences_is_drawn_without_them(finished):
    root = finished(generations=3, members=4)
    without_columns(root, "kl_initial_condition_nats", "kl_inferred_inputs_nats")

    write_report(in_folder(root))

    page = (root / "report" / "report.html").read_text()

    assert "nats about a trial" not in page
    assert "nan" not in re.sub(r"base64,[^\"]*", "", page).lower().split()


def test_a_log_without_what_every_version_wrote_is_a_sentence(finished):
    root = finished()
    without_columns(root, "valid_nll")

    with pytest.raises(OutputError, match=r"member_000.csv lacks the columns valid_nll.*; copy the folder"):
        write_report(in_folder(root))
