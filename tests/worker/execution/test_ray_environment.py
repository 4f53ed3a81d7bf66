import os
import socket
from pathlib import Path

import pytest

from lfads_worker.errors import DeviceError
from lfads_worker.execution import ray_environment
from lfads_worker.execution.ray_environment import PrivateRay, require_reachable, silence


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_TMPDIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_a_folder_of_our_own_that_is_gone_afterwards():
    private = PrivateRay()
    folder = Path(os.environ["RAY_TMPDIR"])
    (folder / "log").write_text("something")

    private.close()
    private.close()

    assert not folder.exists()
    assert "RAY_TMPDIR" not in os.environ


def test_sockets_of_ray_fit_into_the_folder_name():
    private = PrivateRay()
    socket = f"{os.environ['RAY_TMPDIR']}/ray/session_2026-11-22_23-36-34_631046_4194304/sockets/plasma_store"
    private.close()

    assert len(socket) <= 107


def test_a_token_of_our_own():
    private = PrivateRay()
    private.close()

    assert len(os.environ["RAY_AUTH_TOKEN"]) >= 32
    assert "RAY_AUTH_MODE" not in os.environ  # Ray refuses a mode that came after its import


def test_the_users_settings_win(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")

    silence()
    PrivateRay().close()

    assert os.environ["RAY_TMPDIR"] == str(tmp_path)
    assert tmp_path.exists()
    assert "RAY_AUTH_TOKEN" not in os.environ
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "1"


def test_what_killed_drivers_have_left_is_removed_and_nothing_else(monkeypatch, tmp_path):
    monkeypatch.setattr(ray_environment, "TEMPORARY", tmp_path)
    killed, others = tmp_path / "alr-killed", tmp_path / "alr-of-somebody"
    for folder in (killed, others):
        folder.mkdir()
    (killed / ray_environment.LOCK_NAME).touch()
    living = PrivateRay()

    another = PrivateRay()

    folders = {path.name for path in tmp_path.iterdir()}
    assert "alr-killed" not in folders
    assert "alr-of-somebody" in folders  # no lock in it: not known to be ours
    assert Path(os.environ["RAY_TMPDIR"]).name in folders
    living.close()
    another.close()


def test_a_cluster_that_nobody_answers_for_is_a_sentence():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"

        with pytest.raises(DeviceError, match=rf"RAY_ADDRESS: .* cluster at {address}, found nobody there"):
            require_reachable(address, patience_seconds=0.0)


def test_a_cluster_that_listens_is_reachable():
    with socket.create_server(("127.0.0.1", 0)) as server:
        require_reachable(f"127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("address", ["auto", "ray://head:10001"])
def test_forms_that_only_ray_knows_are_left_to_it(address):
    require_reachable(address)
