"""What a run holds and what that costs: machines once and whole, the head by its share."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from autolfads_operator import machines, prices
from autolfads_operator.observed import CustomResource, Machine, Observed, Pod, PodRole

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
TABLE = prices.PriceTable.model_validate(
    {
        "name": "test",
        "date": "2030-01-01",
        "region": "us-central1",
        "currency": "USD",
        "head": {"cpu": 0.05, "memoryGib": 0.01},
        "machines": [
            {"machineType": "g2-standard-8", "accelerator": "nvidia-l4", "onDemand": 1.0, "spot": 0.25},
            {"machineType": "g2-standard-24", "accelerator": "nvidia-l4", "count": 2, "onDemand": 2.5},
        ],
    },
    by_alias=True,
    by_name=False,
)


def worker(name="w1", node="n1", minutes=60, gpus=1, attempt=1):
    placed = NOW - timedelta(minutes=minutes)
    return Pod(name, PodRole.WORKER, attempt, "Running", node=node, placed_at=placed, gpus=gpus)


@pytest.fixture
def seen(make_run):
    """What is there as (key → (price, GPUs)), and the notes; of pods, with nodes as they say they are."""

    def seen(*pods, nodes=None, denied=False, **compute):
        run = make_run(compute={"accelerator": {"type": "nvidia-l4"}, **compute})
        resource = CustomResource("reach", "lab", "uid", 1, NOW, run)
        observed = Observed(resource, NOW, pods=pods, machines=nodes or {}, nodes_denied=denied)
        found = machines.running(observed, run.spec.compute, TABLE)
        told = {one.key: (one.price, one.gpus) for one in found}
        return told, machines.notes(observed, run.spec.compute, TABLE)

    return seen


def test_a_worker_costs_its_machine_and_counts_its_gpus(seen):
    node = Machine("g2-standard-8", "Spot", "nvidia-l4", 1, "us-central1")

    told, notes = seen(worker(), nodes={"n1": node})

    assert told == {"node/n1": (0.25, 0), "pod/w1": (0.0, 1)}
    assert notes == ()


def test_a_machine_with_two_workers_is_charged_once_and_whole(seen):
    node = Machine("g2-standard-24", "OnDemand", "nvidia-l4", 2, "us-central1")

    told, _ = seen(worker(), worker("w2"), nodes={"n1": node})

    assert told == {"node/n1": (2.5, 0), "pod/w1": (0.0, 1), "pod/w2": (0.0, 1)}


def test_a_machine_counts_from_when_the_first_worker_came_to_it(make_run):
    run = make_run()
    resource = CustomResource("reach", "lab", "uid", 1, NOW, run)
    observed = Observed(resource, NOW, pods=(worker(minutes=5), worker("w2", minutes=90, attempt=2)))

    (node, *_) = machines.running(observed, run.spec.compute, TABLE)

    assert (node.since, node.attempt) == (NOW - timedelta(minutes=90), 2)


def test_a_pod_without_a_node_costs_nothing(seen):
    assert seen(dataclasses.replace(worker(), node=None))[0] == {}


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_is_over_holds_nothing_however_long_it_is_shown(seen, phase):
    assert seen(dataclasses.replace(worker(), phase=phase))[0] == {}


def test_the_head_costs_its_share(seen):
    head = dataclasses.replace(worker("h", gpus=0), role=PodRole.HEAD)

    told, _ = seen(head, head={"cpu": "2", "memory": "8Gi"})

    assert told == {"pod/h": (pytest.approx(2 * 0.05 + 8 * 0.01), 0)}


@pytest.mark.parametrize(
    ("provisioning", "price"),
    [("OnDemand", 1.0), ("Spot", 0.25), ("SpotThenOnDemand", 1.0), ("FlexStart", 1.0)],
)
def test_without_its_node_a_machine_is_what_the_spec_says_at_its_dearest(seen, provisioning, price):
    told, notes = seen(worker(), denied=True, provisioning=provisioning)

    assert told["node/n1"] == (price, 0)
    assert notes == ("machines as in the spec: nodes may not be read",)


def test_a_machine_that_nobody_priced_counts_as_the_one_of_the_spec_and_that_is_said(seen):
    node = Machine("g2-standard-16", "OnDemand", "nvidia-l4", 1, "europe-west4")

    told, notes = seen(worker(), nodes={"n1": node})

    assert told["node/n1"] == (1.0, 0)
    assert notes == ("machines are in europe-west4", "no price of g2-standard-16: counted as in the spec")


def test_what_nobody_can_price_is_said(seen):
    told, notes = seen(worker(), accelerator={"type": "nvidia-h100-80gb"})

    assert told["node/n1"] == (0.0, 0)
    assert notes == ("no price of a3-highgpu-1g: it is not counted",)


def test_a_plan_counts_every_worker_and_the_head(make_run):
    compute = make_run(compute={"head": {"cpu": "1", "memory": "1Gi"}}).spec.compute

    planned = machines.planned(compute, 3, TABLE)

    assert planned == (pytest.approx(3 * 1.0 + 0.05 + 0.01), 3)
