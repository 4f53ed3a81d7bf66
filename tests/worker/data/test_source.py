"""Addresses and fingerprints."""

import hashlib

import pytest

from lfads_worker.data.source import check_fingerprint, fingerprint, open_source
from lfads_worker.errors import DataError


def test_a_path_is_opened_as_it_is(tmp_path):
    path = tmp_path / "a b.mat"
    path.write_bytes(b"x")

    with open_source(str(path)) as opened:
        assert opened == path


def test_the_home_folder_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.mat").write_bytes(b"x")

    with open_source("~/a.mat") as opened:
        assert opened == tmp_path / "a.mat"


def test_the_fingerprint_is_the_files_sha256(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"spikes")

    assert fingerprint(path) == hashlib.sha256(b"spikes").hexdigest()


def test_the_wanted_fingerprint_passes_and_another_is_refused():
    check_fingerprint("ab", None)
    check_fingerprint("ab", "ab")
    with pytest.raises(
        DataError, match=r"data\.sha256: cd is wanted, the file has ab; use the original file"
    ):
        check_fingerprint("ab", "cd")


def test_other_addresses_are_refused_with_what_to_do():
    with pytest.raises(DataError, match="copy the file here"), open_source("https://example.org/reach.mat"):
        pass


def test_a_file_that_may_not_be_read_is_said(tmp_path, monkeypatch):
    path = tmp_path / "a.mat"
    path.write_bytes(b"x")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)

    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\); check its permissions"):
        open_source(str(path)).__enter__()
