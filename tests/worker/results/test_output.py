import pytest

from autolfads_spec.errors import StoreError
from autolfads_spec.store import FolderStore
from lfads_worker.results.output import StagedOutput, in_folder, open_output


@pytest.fixture
def staged(tmp_path):
    return StagedOutput(FolderStore(tmp_path / "there"), tmp_path / "here")


def test_a_folder_of_this_machine_is_its_own_staging(tmp_path):
    with open_output(str(tmp_path / "out")) as output:
        output.folder.mkdir()
        output.path("rates.h5").write_bytes(b"rates")
        output.publish(["rates.h5"])
        output.fetch(["rates.h5", "nothing"])

    assert output.is_here
    assert output.store.names() == ["rates.h5"]
    assert output.store.read("rates.h5").content == b"rates"


def test_what_is_made_is_seen_once_it_is_published(staged, tmp_path):
    staged.path("best").mkdir(parents=True)
    for name in ("rates.h5", "best/weights.npz", "unfinished"):
        staged.path(name).write_text(name)
    assert staged.store.names() == []

    staged.publish(["best/weights.npz", "rates.h5"])

    assert staged.store.names() == ["best/weights.npz", "rates.h5"]
    assert staged.store.read("rates.h5").content == b"rates.h5"


def test_what_is_fetched_is_here_and_what_does_not_exist_stays_missing(staged):
    staged.store.write("training_logs/member_000.csv", b"epoch")

    staged.fetch(["training_logs/member_000.csv", "nothing"])

    assert staged.path("training_logs/member_000.csv").read_bytes() == b"epoch"
    assert not staged.path("nothing").exists()


@pytest.mark.parametrize(("folder", "shown"), [("out", "out/a"), (".", "./a")])
def test_users_see_addresses_as_they_gave_them(folder, shown):
    with open_output(folder) as output:
        assert output.shown("a") == shown


def test_the_paths_of_a_staged_run_are_those_of_this_machine(staged, tmp_path):
    assert staged.paths.rates == str(tmp_path / "here" / "rates.h5")
    assert in_folder(tmp_path).paths.rates == str(tmp_path / "rates.h5")


def test_an_address_of_another_kind_is_a_sentence():
    with pytest.raises(StoreError, match="wanted gs://bucket/path"), open_output("s3://lab/runs"):
        pass
