"""The tree keeps its promises: the standard library's `operator` is safe, and light modules stay light."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def python(code: str) -> str:
    """What a fresh interpreter prints, started at the root with the root on its path."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": ".", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_operator_is_the_standard_librarys():
    assert python("import functools, operator; print(operator.itemgetter(0)([7]))") == "7"
    assert Path(python("import operator; print(operator.__file__)")).parent.name.startswith("python3")


def test_operator_folder_is_never_a_package():
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not (ROOT / "crds" / "__init__.py").exists()


def test_test_folders_are_never_packages():
    assert list((ROOT / "tests").rglob("__init__.py")) == []


@pytest.mark.parametrize(
    "module",
    [
        "autolfads_spec",
        "autolfads_operator",
        "lfads_worker.pbt.evolve",
        "lfads_worker.driver",
        "lfads_worker.cli",
    ],
)
def test_importing_it_loads_neither_tensorflow_nor_ray_nor_matplotlib(module):
    heavy = python(
        f"import sys, {module}; "
        "print(sorted({'tensorflow', 'ray', 'keras', 'matplotlib'} & set(sys.modules)))"
    )

    assert heavy == "[]"


def test_importing_the_contract_loads_no_numpy():
    assert python("import sys, autolfads_spec; print('numpy' in sys.modules)") == "False"


@pytest.mark.parametrize("module", ["autolfads_spec.store", "lfads_worker.cli", "lfads_worker.data.files"])
def test_who_opens_no_bucket_needs_no_google_client(module):
    found = python(f"import sys, {module}; print([n for n in sys.modules if n.startswith('google.cloud')])")

    assert found == "[]"


def test_the_newest_version_of_the_changelog_is_the_projects():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## [")]

    assert headings[0].startswith(f"## [{version}]")


def test_every_package_of_the_wheel_is_one_of_ours():
    from setuptools import find_packages

    found = {
        name.split(".")[0] for where in ("operator", "crds") for name in find_packages(str(ROOT / where))
    }

    assert found == {"autolfads_operator", "autolfads_spec"}


@pytest.mark.parametrize("target", ["setup", "bench", "demo"])
@pytest.mark.parametrize(("asked", "installed"), [("GPU=", "worker"), ("GPU=1", "worker-gpu")])
def test_a_gpu_that_is_asked_for_gets_its_tensorflow_and_no_other(tmp_path, target, asked, installed):
    for name in ("Makefile", "pyproject.toml", "requirements"):
        (tmp_path / name).symlink_to(ROOT / name)
    command = ["make", "--dry-run", target, asked, f"PYTHON={sys.executable}"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    files = re.findall(r"-r requirements/(\S+)\.txt", done.stdout)
    assert [name for name in files if "worker" in name] == [installed]
    assert "uninstall --quiet tensorflow tensorflow-cpu" in done.stdout
    assert "tensorflow" not in (ROOT / "requirements/dev.txt").read_text()  # it comes on top of either
