"""docs/google-cloud.md, followed from its first command to its last in a clean shell and an empty cluster."""

import shlex
import shutil
import subprocess

import pytest
from google.cloud import storage

from docs.page import Reader, commands
from helm.program import program as helm
from kube.cluster import ROOT, running_cluster
from kube.operator_process import OperatorProcess

PAGE = ROOT / "docs/google-cloud.md"
ANSWERS = {
    "gcloud config get account": "me@lab.example",
    "gcloud artifacts repositories describe": "registry.example/my-lab-project/autolfads",
    "gcloud projects describe": "123456789",
    "gcloud compute regions describe": "METRIC LIMIT USAGE\nNVIDIA_L4_GPUS 4.0 0.0",
}
# KubeRay comes from its own repository; here it is installed. Nobody waits for a watch to end.
KUBECTL = """#!/bin/bash
case "$*" in "create -k "*) exit 0;; esac
words=(); for word in "$@"; do [ "$word" = --watch ] || words+=("$word"); done
exec {program} "${{words[@]}}"
"""
GIT = """#!/bin/bash
[ "$1" = clone ] && mkdir "$3" && cp -r {root}/charts "$3"
"""
HELM = '#!/bin/bash\nexec {program} "$@"\n'


@pytest.fixture(scope="module")
def empty_cluster(tmp_path_factory):
    """A cluster with KubeRay and nothing of ours."""
    with running_cluster(tmp_path_factory.mktemp("page", numbered=True), has_ours=False) as cluster:
        cluster.add_node("ordinary")
        yield cluster


@pytest.fixture
def reader(tmp_path):
    """Somebody with an empty home."""
    return Reader(tmp_path, ("gcloud", "make"), ANSWERS)


@pytest.fixture
def operator(empty_cluster, storage_emulator, monkeypatch):
    """What the chart's pod would be, waiting for its rights and its kind."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_emulator)
    storage.Client.create_anonymous_client().create_bucket("my-lab-project-autolfads")
    process = OperatorProcess(empty_cluster, "operator", is_standby=True)
    process.start()
    yield process
    process.kill()


@pytest.mark.kube
@pytest.mark.gcs
@pytest.mark.timeout(300)
def test_whoever_types_every_command_of_the_page_gets_a_run_and_leaves_nothing(
    empty_cluster, reader, operator
):
    kubectl = empty_cluster.binary("kubectl")
    reader.give("kubectl", KUBECTL.format(program=kubectl))
    reader.give("helm", HELM.format(program=helm()))
    reader.give("git", GIT.format(root=ROOT))

    seen = reader.follow(commands(PAGE), KUBECONFIG=str(empty_cluster.kubeconfig("admin")))

    assert "autolfadsrun.autolfads.dev/monkey-reach created" in seen
    assert 'autolfadsrun.autolfads.dev "monkey-reach" deleted' in seen
    left = empty_cluster.kubectl("get", "alr,rayjobs,rayclusters,pods", "-n", "lab").stdout
    assert left == ""
    for words in reader.said:
        if words[0] == "make":
            subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, check=True, capture_output=True)


def gcloud_commands():
    """Every call of gcloud on the page."""
    text = "\n".join(commands(PAGE)).replace("\\\n", " ")
    lines = [line.partition("  #")[0] for line in text.splitlines()]
    starts = (line[line.index("gcloud ") :] for line in lines if "gcloud " in line)
    return [start.partition(" | ")[0].removesuffix(")") for start in starts]


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="needs the Google Cloud CLI")
@pytest.mark.parametrize("line", gcloud_commands())
def test_gcloud_knows_every_word_of_it(line, tmp_path):
    """A flag that nobody knows is added; gcloud reads all of them before it does anything, and names it."""
    plain = line.replace("$(gcloud config get account)", "me@lab.example")
    words = [word.replace("$", "") for word in shlex.split(plain)]

    done = subprocess.run(
        [*words, "--no-such-flag"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "CLOUDSDK_CONFIG": str(tmp_path), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"},
    )

    unknown = done.stderr.partition("unrecognized arguments:")[2].split("To search")[0]
    assert [word for word in unknown.split() if word.startswith("-")] == ["--no-such-flag"], done.stderr
