import hashlib
import json

from lfads_worker.report.write import write_report


def content(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_report_touches_no_file_of_the_results(reported):
    files = json.loads((reported / "results.json").read_text())["files"]

    assert files
    for name, record in files.items():
        assert hashlib.sha256((reported / name).read_bytes()).hexdigest() == record["sha256"], name


def test_drawing_again_gives_the_same_bytes(reported):
    before = content(reported)

    page = write_report(reported)

    assert page == reported / "report" / "report.html"
    assert content(reported) == before


def test_the_report_can_be_drawn_before_results_are_marked_as_finished(finished):
    root = finished()
    document = json.loads((root / "results.json").read_text())
    (root / "results.json").unlink()

    write_report(root, document)

    names = {path.name for path in (root / "report").iterdir()}
    assert names == {
        "report.html",
        *("rates.png", "conditions.png", "factors.png", "inferred_inputs.png", "training.png"),
        "hyperparameters.png",
    }
    assert not (root / "results.json").exists()
