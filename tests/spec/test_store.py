"""The promises of a Store, kept by a folder and by a bucket; and what a folder promises beside."""

import errno
import os
import subprocess
import sys
import threading

import pytest

from autolfads_spec import store as stores
from autolfads_spec.errors import ConflictError, MissingError, StoreError
from autolfads_spec.store import Expected, FolderStore, is_partial, open_store, put_in_place


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.gcs)])
def store(request, tmp_path):
    if request.param == "bucket":
        return open_store(request.getfixturevalue("bucket") + "/runs/out")
    return open_store(str(tmp_path / "out"))


@pytest.fixture
def folder(tmp_path):
    return FolderStore(tmp_path / "out")


def test_what_was_written_is_read_with_its_version(store):
    version = store.write("generations/000001.json", b"one")

    assert store.read("generations/000001.json") == (b"one", version)
    assert store.write("generations/000001.json", b"two") != version


def test_what_was_never_written_is_missing(store):
    with pytest.raises(MissingError, match=r"wanted .*manifest\.json, found no such file"):
        store.read("manifest.json")


def test_only_the_first_of_two_creates(store):
    store.write("record", b"first", Expected.NOTHING)

    with pytest.raises(ConflictError, match="in place of nothing, found version"):
        store.write("record", b"second", Expected.NOTHING)

    assert store.read("record").content == b"first"


def test_a_write_that_expects_another_version_changes_nothing(store):
    old = store.write("manifest", b"1")
    store.write("manifest", b"2", old)

    with pytest.raises(ConflictError):
        store.write("manifest", b"3", old)
    with pytest.raises(ConflictError, match="found nothing"):
        store.write("another", b"3", old)

    assert store.read("manifest").content == b"2"


def test_of_many_writers_that_expect_the_same_one_succeeds(store):
    version = store.write("manifest", b"0")
    won = []

    def race(number):
        try:
            store.write("manifest", b"%d" % number, version)
        except ConflictError:
            return
        won.append(b"%d" % number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert won == [store.read("manifest").content]


def test_of_many_processes_that_create_one_succeeds(store):
    code = (
        "import sys\n"
        "from autolfads_spec.store import Expected, open_store\n"
        "open_store(sys.argv[1]).write('x', b'the same', Expected.NOTHING)\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, store.address], stderr=subprocess.DEVNULL)
        for _ in range(4)
    ]

    assert sorted(process.wait() for process in processes) == [0, 1, 1, 1]


def test_names_are_listed_by_prefix_and_in_order(store):
    for name in ("b/2", "b/1", "a", "bc"):
        store.write(name, b"")

    assert store.names("b/") == ["b/1", "b/2"]
    assert store.names("b") == ["b/1", "b/2", "bc"]
    assert store.names() == ["a", "b/1", "b/2", "bc"]
    assert store.names("nothing/") == []


def test_a_store_next_to_another_has_files_of_its_own(store):
    store.write("a", b"")
    open_store(store.address + "-2").write("b", b"")

    assert store.names() == store.entries() == ["a"]


def test_entries_are_what_lies_directly_in_it(store):
    assert store.entries() == []

    for name in ("b/2/3", "b/1", "a"):
        store.write(name, b"")

    assert store.entries() == ["a", "b"]


def test_a_version_can_be_asked_for_without_the_content(store):
    assert store.version("manifest") is None

    version = store.write("manifest", b"1")

    assert store.version("manifest") == version
    store.write("manifest", b"2")
    assert store.version("manifest") == store.read("manifest").version != version


def test_a_file_of_this_machine_goes_in_and_comes_out_again(store, tmp_path):
    content = bytes(range(256)) * 1000
    (tmp_path / "rates.h5").write_bytes(content)
    store.write("results/rates.h5", b"old")

    store.write_file("results/rates.h5", tmp_path / "rates.h5")
    store.read_file("results/rates.h5", tmp_path / "copy.h5")

    assert store.read("results/rates.h5").content == (tmp_path / "copy.h5").read_bytes() == content


def test_a_file_that_is_not_there_leaves_no_copy(store, tmp_path):
    with pytest.raises(MissingError, match=r"wanted .*rates\.h5, found no such file"):
        store.read_file("rates.h5", tmp_path / "copy.h5")

    assert not (tmp_path / "copy.h5").exists()


def test_deleting_twice_is_deleting_and_empty_folders_go_too(store):
    store.write("checkpoints/000001/a", b"")
    store.write("b", b"")

    store.delete("checkpoints/000001/a")
    store.delete("checkpoints/000001/a")

    assert store.entries() == ["b"]


def test_what_is_half_written_and_locks_are_no_files_of_the_run(folder, tmp_path):
    folder.write("a", b"", Expected.NOTHING)
    (tmp_path / "out" / ".a.0a1b2c3d.partial").touch()

    assert folder.names() == folder.entries() == ["a"]


@pytest.mark.parametrize("address", ["s3://lab/runs", "https://example.org/runs"])
def test_an_address_of_another_kind_is_a_sentence(address):
    with pytest.raises(StoreError, match=r"wanted gs://bucket/path, or a path of this machine, found"):
        open_store(address)


def test_without_googles_client_an_address_in_a_bucket_is_a_sentence(monkeypatch):
    monkeypatch.delitem(sys.modules, "autolfads_spec.bucket", raising=False)
    monkeypatch.setitem(sys.modules, "google.api_core", None)

    with pytest.raises(
        StoreError, match=r"google\.api_core is not installed; pip install 'autolfads\[worker\]'"
    ):
        open_store("gs://lab/runs/a")


@pytest.mark.parametrize("when", ["while it writes", "when it syncs", "when it renames"])
def test_a_full_disk_leaves_the_old_file_and_no_other(folder, tmp_path, monkeypatch, when):
    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder.write("manifest", b"old")
    if when == "while it writes":
        monkeypatch.setattr(stores, "_write", fail)
    elif when == "when it syncs":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(os, "replace", fail)

    with pytest.raises(StoreError, match=r"wanted to write .*manifest, found No space left.*free space"):
        folder.write("manifest", b"new")

    monkeypatch.undo()
    assert folder.read("manifest").content == b"old"
    assert [path.name for path in (tmp_path / "out").iterdir() if is_partial(path.name)] == []


def test_content_reaches_the_disk_before_its_name(tmp_path, monkeypatch):
    done = []
    real_sync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (done.append("sync"), real_sync(file)))
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("rename"), real_replace(*names)))

    put_in_place(tmp_path / "a", lambda partial: partial.write_bytes(b"x"))

    assert done == ["sync", "rename", "sync"]


def test_an_output_folder_that_is_a_file_is_a_sentence(tmp_path):
    (tmp_path / "out").touch()

    with pytest.raises(StoreError, match="check the free space and the permissions"):
        FolderStore(tmp_path / "out").write("a", b"")
