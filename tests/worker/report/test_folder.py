import json

import pytest

from autolfads_spec.cost import CostRecord
from lfads_worker.errors import OutputError
from lfads_worker.report import folder
from lfads_worker.results.output import in_folder


def test_an_unfinished_folder_is_refused_with_a_sentence(finished):
    root = finished()
    (root / "results.json").unlink()

    with pytest.raises(OutputError, match=r"finished run is wanted, .* is one without results\.json; give"):
        folder.read(in_folder(root))


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(OutputError, match="is empty or not there"):
        folder.read(in_folder(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "name", ["run.yaml", "data_check.json", "population.csv", "rates.h5", "training_logs/member_001.csv"]
)
def test_a_truncated_file_is_named_by_a_sentence(finished, name):
    root = finished(formats=["HDF5"])
    path = root / name
    path.write_bytes(path.read_bytes()[:50])

    with pytest.raises(OutputError, match="whole files of a finished run are wanted"):
        folder.read(in_folder(root))


def test_a_missing_file_is_told_too(finished):
    root = finished()
    (root / "hyperparameters.csv").unlink()

    with pytest.raises(OutputError, match=r"hyperparameters\.csv"):
        folder.read(in_folder(root))


def test_results_can_be_given_before_they_are_written(finished):
    root = finished()
    document = json.loads((root / "results.json").read_text())
    (root / "results.json").unlink()
    document["best"]["valid_nll_held_out"] = float("nan")

    run = folder.read(in_folder(root), document)

    assert run.results["best"]["valid_nll_held_out"] is None  # as a reader of the file would find it
    assert run.run.metadata.name == "made-up"


def test_what_the_run_cost_is_read_where_somebody_counted(finished):
    root = finished()
    assert folder.read(in_folder(root)).cost is None

    (root / "cost.json").write_bytes(CostRecord(amount=1.25, currency="USD").to_bytes())
    assert folder.read(in_folder(root)).cost.amount == 1.25

    (root / "cost.json").write_bytes(b"half")
    assert folder.read(in_folder(root)).cost is None
