"""The pins of the control plane agree with each other; whether they build is `make controlplane`'s to say."""

import re
from pathlib import Path

import pytest

from controlplane import build

MODULES = {module.folder: module for module in build.MODULES}
BESIDE = [name for name in MODULES if name != "kubernetes"]


def go_mod(folder):
    return (Path(build.__file__).parent / folder / "go.mod").read_text()


def required(folder):
    """Versions by module, replacements not looked at."""
    return dict(re.findall(r"^\t?(?:require )?(\S+\.\S+) (v\S+)(?: // indirect)?$", go_mod(folder), re.M))


def replaced(folder):
    return {
        path: (other, version)
        for path, other, version in re.findall(r"^\t(\S+) => (\S+) (v\S+)$", go_mod(folder), re.M)
    }


def test_every_part_of_kubernetes_is_of_its_version():
    parts = replaced("kubernetes")

    minor, patch = re.fullmatch(r"v1\.(\d+)\.(\d+)", MODULES["kubernetes"].version).groups()
    assert len(parts) > 25
    assert all(pin == (path, f"v0.{minor}.{patch}") for path, pin in parts.items())


@pytest.mark.parametrize("folder", BESIDE)
def test_what_is_shared_with_kubernetes_is_held_at_its_versions(folder):
    kubernetes = required("kubernetes") | {
        path: version for path, (_, version) in replaced("kubernetes").items()
    }

    held = replaced(folder)

    assert held
    for path, pin in held.items():
        assert pin == (path, kubernetes[path])


@pytest.mark.parametrize("folder", MODULES)
def test_every_program_is_declared_as_a_tool(folder):
    assert set(re.findall(r"^(?:tool |\t)(\S+/\S+)$", go_mod(folder), re.M)) == set(
        MODULES[folder].programs.values()
    )


def test_other_pins_get_a_folder_of_their_own(monkeypatch, tmp_path):
    module = MODULES["etcd"]
    folder = tmp_path / "etcd"
    folder.mkdir()
    for name in ("go.mod", "go.sum"):
        (folder / name).write_bytes((build.HERE / "etcd" / name).read_bytes())
    before = module.cache

    monkeypatch.setattr(build, "HERE", tmp_path)
    same = module.cache
    (folder / "go.sum").write_text("another")

    assert same == before
    assert module.cache != before


def test_a_program_that_nobody_built_is_asked_for_by_the_command_that_builds_it(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "CACHE", tmp_path)
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)

    with pytest.raises(build.BuildError, match="call make controlplane"):
        build.binary("kwok")


def test_what_envtest_brings_is_taken_from_there(monkeypatch, tmp_path):
    for name in ("etcd", "kwok"):
        (tmp_path / name).touch()
    monkeypatch.setattr(build, "CACHE", tmp_path / "none")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))

    assert build.binary("etcd") == tmp_path / "etcd"
    with pytest.raises(build.BuildError):
        build.binary("kwok")
