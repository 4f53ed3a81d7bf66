"""What the project may have, read from the Compute Engine API's two pages; unknown is an answer too."""

import asyncio
import re

import pytest

from autolfads_operator.observed import Quota
from autolfads_operator.quota import Quotas
from gke.compute import PROJECT, REGION
from gke.project import CLUSTER

URL = "autolfads_operator.quota.google.auth.default"


@pytest.fixture
def ask(cluster_manager, clock):
    """ask("nvidia-l4", "Spot"): asked by one process, whose memory it shares."""
    quotas = Quotas(CLUSTER, cluster_manager.compute.url, monotonic=clock)
    yield lambda *what: asyncio.run(quotas.of(*what))
    quotas.close()


def test_machines_on_demand_count_against_region_and_project(ask, project):
    project.quotas |= {"NVIDIA_L4_GPUS": 8, "GPUS_ALL_REGIONS": 4}
    project.others_use("NVIDIA_L4_GPUS", 3)

    assert ask("nvidia-l4", "OnDemand") == (
        Quota("NVIDIA_L4_GPUS", 8, 3, "us-central1"),
        Quota("GPUS_ALL_REGIONS", 4, 0),
    )


@pytest.mark.parametrize("provisioning", ["Spot", "FlexStart"])
def test_spot_machines_count_against_the_preemptible_quota(ask, project, provisioning):
    project.quotas["PREEMPTIBLE_NVIDIA_L4_GPUS"] = 2

    assert ask("nvidia-l4", provisioning) == (Quota("PREEMPTIBLE_NVIDIA_L4_GPUS", 2, 0, "us-central1"),)


def test_without_a_preemptible_quota_the_ordinary_one_counts(ask, project):
    project.quotas["PREEMPTIBLE_NVIDIA_L4_GPUS"] = 0

    assert [quota.name for quota in ask("nvidia-l4", "Spot")] == ["NVIDIA_L4_GPUS", "GPUS_ALL_REGIONS"]


@pytest.mark.parametrize(
    ("accelerator", "name"),
    [
        ("nvidia-tesla-t4", "NVIDIA_T4_GPUS"),
        ("nvidia-tesla-a100", "NVIDIA_A100_GPUS"),
        ("nvidia-a100-80gb", "NVIDIA_A100_80GB_GPUS"),
    ],
)
def test_each_accelerator_has_its_own(ask, accelerator, name):
    assert ask(accelerator, "OnDemand")[0] == Quota(name, 16, 0, "us-central1")


def test_cpu_nodes_are_not_looked_at(ask, cluster_manager):
    assert ask(None, "OnDemand") == ()
    assert cluster_manager.compute.asked == []


@pytest.mark.parametrize("accelerator", ["nvidia-h100-80gb", "some-tpu"])
def test_what_has_no_quota_of_a_known_name_is_unknown(ask, accelerator):
    first = ask(accelerator, "OnDemand")[0]

    assert (first.limit, first.usage) == (None, None)
    assert first.message.startswith("wanted ")


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (
            403,
            r"status 403 \(refused by the test\); grant the operator's service account compute\.regions\.get",
        ),
        (503, r"status 503 \(refused by the test\); it is asked again"),
    ],
)
def test_what_cannot_be_read_is_unknown_and_says_why(ask, cluster_manager, status, sentence):
    cluster_manager.compute.status = status
    region, project = ask("nvidia-l4", "OnDemand")

    assert (region.limit, region.usage, project.limit) == (None, None, None)
    assert re.search(sentence, region.message)
    if status == 403:
        assert "compute.projects.get" in project.message


def test_an_answer_is_remembered_for_ten_minutes(ask, cluster_manager, project, clock):
    ask("nvidia-l4", "OnDemand")
    project.quotas["NVIDIA_L4_GPUS"] = 99
    clock.advance(599)
    remembered = ask("nvidia-l4", "OnDemand")[0].limit
    asked = list(cluster_manager.compute.asked)
    clock.advance(1)

    assert (remembered, asked) == (16, [REGION, PROJECT])
    assert ask("nvidia-l4", "OnDemand")[0].limit == 99


def test_trouble_is_remembered_for_a_minute_and_a_missing_right_for_ten(ask, cluster_manager, clock):
    compute = cluster_manager.compute
    compute.status = 503
    ask("nvidia-l4", "OnDemand")
    clock.advance(60)
    compute.status = 403
    ask("nvidia-l4", "OnDemand")
    clock.advance(599)
    compute.status = 200
    still_denied = ask("nvidia-l4", "OnDemand")[0].limit
    clock.advance(1)

    assert still_denied is None
    assert ask("nvidia-l4", "OnDemand")[0].limit == 16


def test_nobody_listens(clock):
    quotas = Quotas(CLUSTER, "http://127.0.0.1:1", monotonic=clock)
    (region, _) = asyncio.run(quotas.of("nvidia-l4", "OnDemand"))
    quotas.close()

    assert region.limit is None
    assert "ConnectionError" in region.message


def test_without_credentials_it_is_unknown_too(monkeypatch, clock):
    from google.auth.exceptions import DefaultCredentialsError

    def none(**_):
        raise DefaultCredentialsError("no credentials here")

    monkeypatch.setattr(URL, none)
    region, _ = asyncio.run(Quotas(CLUSTER, monotonic=clock).of("nvidia-l4", "OnDemand"))

    assert region.limit is None
    assert "no credentials here; bind" in region.message


@pytest.mark.parametrize("location", ["europe-west4-b", "europe-west4"])
def test_the_region_of_a_cluster_is_that_of_its_zone(location):
    assert Quotas(f"projects/p/locations/{location}/clusters/c").region == "europe-west4"


def test_a_hundred_runs_ask_once(cluster_manager, clock):
    quotas = Quotas(CLUSTER, cluster_manager.compute.url, monotonic=clock)

    async def hundred():
        return await asyncio.gather(*(quotas.of("nvidia-l4", "OnDemand") for _ in range(100)))

    assert len(set(asyncio.run(hundred()))) == 1
    quotas.close()
    assert cluster_manager.compute.asked == [REGION, PROJECT]
