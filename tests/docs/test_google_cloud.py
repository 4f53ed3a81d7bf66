"""docs/google-cloud.md, followed from its first command to its last in clean shells and an empty cluster."""

import shlex
import shutil
import subprocess

import pytest
from google.cloud import storage

from autolfads_operator import prices
from docs.page import Reader, commands, steps
from helm.program import program as helm
from kube.cluster import ROOT, running_cluster
from kube.operator_process import OperatorProcess

PAGE = ROOT / "docs/google-cloud.md"
ANSWERS = {
    "gcloud config get account": "me@lab.example",
    "gcloud artifacts repositories describe": "registry.example/my-lab-project/autolfads",
    "gcloud projects describe": "123456789",
    "gcloud compute regions describe": "METRIC LIMIT USAGE\nNVIDIA_L4_GPUS 1.0 0.0",
    "gcloud compute project-info describe": "METRIC LIMIT USAGE\nGPUS_ALL_REGIONS 1.0 0.0",
}
# Every new Cloud Shell knows the files of the one before, and nothing else.
IN_A_NEW_SHELL = "source ~/autolfads.env"
# Nobody waits for a watch to end.
KUBECTL = """#!/bin/bash
words=(); for word in "$@"; do [ "$word" = --watch ] || words+=("$word"); done
exec {program} "${{words[@]}}"
"""
GIT = """#!/bin/bash
[ "$1" = clone ] && mkdir "$3" && cp -r {root}/charts "$3"
"""
# KubeRay comes from its own repository; here it is installed.
HELM = """#!/bin/bash
case "$*" in *kuberay*) exit 0;; esac
exec {program} "$@"
"""


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

    first, *later = steps(PAGE)
    kubeconfig = str(empty_cluster.kubeconfig("admin"))

    seen = reader.follow(first)
    for blocks in later:
        seen += reader.follow([IN_A_NEW_SHELL, *blocks], KUBECONFIG=kubeconfig)

    assert "autolfadsrun.autolfads.dev/monkey-reach created" in seen
    assert 'autolfadsrun.autolfads.dev "monkey-reach" deleted' in seen
    left = empty_cluster.kubectl("get", "alr,rayjobs,rayclusters,pods", "-n", "lab").stdout
    assert left == ""
    for words in reader.said:
        if words[0] == "make":
            subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, check=True, capture_output=True)


def test_a_build_that_was_broken_off_is_begun_again_in_a_new_shell(reader):
    reader.give("git", GIT.format(root=ROOT))
    first, *later = steps(PAGE)
    [build] = [blocks for blocks in later if "git clone" in blocks[0]]
    reader.follow(first)

    for _ in range(2):
        reader.follow([IN_A_NEW_SHELL, *build])

    assert [words[:2] for words in reader.said].count(["make", "images"]) == 2


def test_the_amounts_of_the_page_are_those_of_the_price_table():
    table, text = prices.load(), PAGE.read_text()
    spot = table.hourly("g2-standard-8", "nvidia-l4", 1, "Spot")
    on_demand = table.hourly("g2-standard-8", "nvidia-l4", 1, "OnDemand")
    head = table.of_head("2", "8Gi")

    assert f"spot | {spot:.2f} USD |" in text
    assert f"not spot | {on_demand:.2f} USD |" in text
    assert f"small machine | {head:.2f} USD |" in text
    assert f"{spot + head:.2f} USD an hour" in text
    assert f"{spot / on_demand:.0%}".replace("%", " %") + " of the ordinary price" in text
    assert "list prices of us-central1 of August 2026" in text
    assert (table.region, table.date[:7]) == ("us-central1", "2026-08")


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
