"""The images that users get: who runs them, what they can do, what a change of our code costs to pull."""

import hashlib
import json
import re
import tomllib

import pytest

from autolfads_operator.settings import OperatorSettings
from kube.nodes.builder import IMAGES, REQUIREMENTS, ROOT
from kube.nodes.images import OPERATOR, TAGS, WORKER
from kube.nodes.pods import pod

MEGABYTE = 1_000_000
PACKAGES = {
    OPERATOR: ("operator/autolfads_operator", "crds/autolfads_spec"),
    WORKER: ("lfads_worker", "crds/autolfads_spec"),
}
USERS = {OPERATOR: 65532, WORKER: 1000}
BOTH = pytest.mark.parametrize("image", [OPERATOR, WORKER], ids=["operator", "worker"])
kube = pytest.mark.kube


def dockerfile(image):
    return (ROOT / f"dockerfiles/{image}.Dockerfile").read_text()


def pins(image):
    """(name, version) of everything in it; some have a version for each Python."""
    text = (REQUIREMENTS / f"{image}.txt").read_text()
    return set(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==([^ ]+)", text, re.M))


def test_both_images_stand_on_one_base():
    found = [re.findall(r"^ARG BASE=(.+)$", dockerfile(image), re.M) for image in IMAGES]

    assert found[0] == found[1]


def test_all_images_have_the_same_version_of_what_they_have_in_common():
    operator, worker, gpu = (pins(image) for image in ("operator", "worker", "worker-gpu"))

    in_worker = {name for name, _ in worker}
    assert {name for name, _ in gpu - worker if not name.startswith("nvidia-")} == set()
    assert {name for name, _ in operator - worker if name in in_worker} == set()


@pytest.mark.parametrize("image", ["worker", "worker-gpu"])
def test_the_operator_expects_the_ray_of_the_image(image):
    assert ("ray", OperatorSettings.model_fields["ray_version"].default) in pins(image)


@kube
@BOTH
def test_image_says_what_it_is_and_who_runs_it(node, image):
    _, found = node.image(image)

    labels = {
        name.removeprefix("org.opencontainers.image."): text
        for name, text in found["config"]["Labels"].items()
    }
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (labels["version"], labels["revision"]) == (version, "test")
    assert {"title", "description", "source", "licenses"} <= labels.keys()
    assert found["config"]["User"] == f"{USERS[image]}:{USERS[image]}"


@kube
@BOTH
def test_a_change_of_our_code_pulls_only_megabytes(node, image):
    manifest, found = node.image(image)

    *_, dependencies, code = [layer["size"] for layer in manifest["layers"]]
    assert code < 5 * MEGABYTE < 50 * MEGABYTE < dependencies
    made = [step["created_by"] for step in found["history"] if not step.get("empty_layer")]
    assert "COPY" in made[-1]
    assert "uv pip install" in made[-2]


LOOK = """
import hashlib, json, os, pathlib, shutil, sys, sysconfig
site = pathlib.Path(sysconfig.get_path("purelib"))
def can_write(folder):
    try:
        (folder / "new").write_text("x")
    except OSError:
        return False
    return True
def files(package):
    return {str(path.relative_to(site)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (site / package).rglob("*") if path.is_file() and path.suffix != ".pyc"}
def compiled(package):
    return all((path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc").exists()
               for path in (site / package).rglob("*.py"))
packages = sys.argv[1:]
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "writable": [folder for folder in ("/", "/tmp", "/opt", str(site)) if can_write(pathlib.Path(folder))],
    "programs": [name for name in ("cc", "gcc", "ld", "make", "git", "curl", "uv") if shutil.which(name)],
    "files": {name: content for package in packages for name, content in files(package).items()},
    "compiled": [compiled(package) for package in (*packages, "pydantic", "google/cloud/storage")],
    "home": os.path.expanduser("~"),
}))
"""


@kube
@BOTH
def test_pod_has_our_files_and_can_write_to_tmp_alone(cluster, namespace, run, image):
    packages = {path.rpartition("/")[2]: ROOT / path for path in PACKAGES[image]}
    name = f"look-{USERS[image]}"
    given = pod(name, "python", "-c", LOOK, *packages, image=image)
    (container,) = given["spec"]["containers"]
    container["securityContext"]["readOnlyRootFilesystem"] = True
    container["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]
    given["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {}}]

    run(given)

    found = json.loads(cluster.kubectl("logs", name, "-n", namespace).stdout)
    assert found["user"] == [USERS[image]] * 2
    assert (found["writable"], found["home"]) == (["/tmp"], "/tmp")
    assert found["programs"] == []
    assert all(found["compiled"])
    assert found["files"] == {
        f"{package}/{path.relative_to(folder)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for package, folder in packages.items()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_every_image_of_the_tests_is_one_that_users_build():
    assert set(TAGS) == set(IMAGES) == {path.stem for path in (ROOT / "dockerfiles").glob("*.Dockerfile")}
