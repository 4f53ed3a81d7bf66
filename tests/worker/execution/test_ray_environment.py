import os
from pathlib import Path

import pytest

from lfads_worker.execution.ray_environment import PrivateRay, silence


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
