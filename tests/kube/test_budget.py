"""What a run costs and where its budget ends: on a real API server, with nodes that KWOK plays.

No Ray runs in the first tests: what a driver writes is written by them. In the last one everything is real.
"""

import datetime
import json
import math
import time

import pytest

from autolfads_spec.attempt import BUDGET_STOP, AttemptEnd, EndClass, Wish
from autolfads_spec.cost import CostRecord
from kube.storage import SOCKETS

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]

# An amount for each second that one machine is there, so that nobody has to wait.
EACH_SECOND = 3600.0
TABLE = {
    "name": "of-the-test",
    "date": "2030-01-31",
    "region": "us-central1",
    "currency": "EUR",
    "head": {"cpu": 0.0, "memoryGib": 0.0},
    "machines": [{"machineType": "n2-standard-8", "onDemand": EACH_SECOND, "spot": EACH_SECOND / 10}],
}


@pytest.fixture
def price_table(tmp_path):
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(TABLE))
    return str(path)


@pytest.fixture
def nodes(cluster):
    """One machine for the head, one spot machine for the worker."""
    of_both = {
        "node.kubernetes.io/instance-type": "n2-standard-8",
        "topology.kubernetes.io/region": "us-central1",
    }
    cluster.add_node("of-heads", labels=of_both)
    taint = {"key": "cloud.google.com/gke-spot", "value": "true", "effect": "NoSchedule"}
    cluster.add_node("of-workers", labels=of_both | {taint["key"]: "true"}, taints=[taint])
    yield
    cluster.start_missing()
    for name in ("of-heads", "of-workers"):
        cluster.remove_node(name)


@pytest.fixture
def trains(run, nodes, price_table, start, eventually):
    """A run with one worker on its machine, and the operator that looks after it."""

    def begin(**spec):
        operator = start(PRICE_TABLE=price_table)
        compute = {
            "accelerator": {"type": "None"},
            "workers": {"desired": 1},
            "provisioning": "SpotThenOnDemand",
            "head": {"cpu": "100m", "memory": "512Mi"},
        }
        run.apply(compute=compute, population={"size": 2, "generations": 4}, **spec)
        eventually(run.is_started)
        run.drive()
        eventually(lambda: node(run) is not None, seconds=60)
        return operator

    return begin


def cost(run):
    """What is kept in the output folder."""
    if "cost.json" not in run.store.names():
        return None
    return CostRecord.model_validate_json(run.store.read("cost.json").content)


def node(run):
    """The worker's machine, while it is counted."""
    entries = cost(run).present if cost(run) is not None else ()
    return next((entry for entry in entries if entry.key == "node/of-workers"), None)


def wish(run):
    if "wish.json" not in run.store.names():
        return None
    return Wish.model_validate_json(run.store.read("wish.json").content)


def measured(operator, run):
    """What the operator tells Prometheus."""
    labels = f'{{namespace="{run.namespace}",run="{run.name}"}}'
    lines = operator.ask("/metrics")[1].splitlines()
    return next(
        float(line.split()[-1]) for line in lines if line.startswith(f"autolfads_run_cost_estimate{labels}")
    )


def estimate(run):
    return float(run.status.get("cost", {}).get("estimate", 0))


def end_as_paused(run, generation):
    """What a driver does that has been asked to pause, at the end of its generation."""
    run.drive(generation=generation)
    end = AttemptEnd(
        attempt=1,
        driver_epoch=1,
        end_class=EndClass.PAUSED,
        message="paused",
        generation=generation,
        ended_at=datetime.datetime.now(datetime.UTC).isoformat(),
    )
    run.store.write("attempts/01/end.json", end.to_bytes())


def machines_there(run):
    return [name for name in run.left() if "worker" in name]


def test_a_machine_costs_what_its_node_says_it_is_until_its_budget_is_used_up(
    cluster, run, trains, eventually
):
    operator = trains(budget={"maxCost": "3.00"})
    assert (node(run).kind, node(run).price) == ("n2-standard-8 Spot", EACH_SECOND / 10)
    run.drive(generation=0)
    eventually(lambda: wish(run) is not None and wish(run).pause, seconds=60)
    asked = estimate(run)
    told = eventually(
        lambda: run.condition("BudgetOK").get("status") == "False" and run.condition("BudgetOK")
    )
    assert told["reason"] == "BudgetExceeded"
    assert "wanted at most 3.00 EUR (spec.budget.maxCost), found that it has used 3." in told["message"]
    assert not wish(run).finish
    assert machines_there(run)  # the driver is at work on its generation: nothing is lost

    time.sleep(3)
    end_as_paused(run, generation=1)

    eventually(lambda: run.status["phase"] == "Suspended", seconds=90)
    eventually(lambda: not machines_there(run))
    assert run.condition("Suspended")["reason"] == "BudgetExceeded"
    assert run.status["attempts"][0]["endReason"] == "BudgetExceeded"
    assert run.status["progress"]["summary"] == "2/4"
    assert "BudgetExceeded" in run.events()
    eventually(lambda: not cost(run).present)
    used = cost(run).amount
    assert asked <= used < 3.0 + 60 * EACH_SECOND / 10 / 3600
    time.sleep(5)
    assert cost(run).amount == used  # and the cost is flat
    assert measured(operator, run) == pytest.approx(used, abs=0.01)
    shown = cluster.kubectl("get", "alr", run.name, "-n", run.namespace, actor="user").stdout.splitlines()
    assert f" {used:.2f} " in shown[1].replace(" EUR", " ")

    run.patch(budget={"maxCost": "3000.00"})
    eventually(lambda: run.is_started(2), seconds=60)
    eventually(lambda: run.condition("BudgetOK")["status"] == "True")


def test_a_used_up_budget_that_fails_asks_the_driver_for_results(run, trains, eventually):
    trains(budget={"maxCost": "2.00", "onExceeded": "Fail"})

    eventually(lambda: wish(run) is not None, seconds=60)

    assert (wish(run).pause, wish(run).finish) == (True, True)
    eventually(lambda: run.status["phase"] == "Finalizing")


def test_neither_a_killed_operator_nor_a_lost_status_nor_a_run_made_anew_loses_the_sum(
    cluster, run, trains, eventually
):
    operator = trains()
    time.sleep(5)
    operator.kill()
    status = {"status": {"cost": None, "phase": None}}
    run.custom.patch_namespaced_custom_object_status(*run.where, run.name, status)
    time.sleep(3)
    operator.start()

    again = eventually(lambda: estimate(run) > 0.75 and estimate(run), seconds=60)
    run.delete()
    eventually(lambda: run.read() is None, seconds=90)
    kept = cost(run)
    assert kept.amount >= again - 0.01
    assert not kept.present  # nothing of it is there any more, and the record says so
    end_as_paused(run, generation=0)  # without that word the next run would take its driver for alive
    run.apply(compute={"accelerator": {"type": "None"}, "workers": {"desired": 1}})
    eventually(lambda: estimate(run) >= kept.amount - 0.01, seconds=60)


def test_an_operator_with_a_bad_price_table_does_not_start(start, tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text(json.dumps(TABLE).replace(str(EACH_SECOND), "-1", 1))
    operator = start(wait=False, PRICE_TABLE=str(path))
    deadline = time.monotonic() + 60
    while operator.is_alive and time.monotonic() < deadline:
        time.sleep(0.2)

    assert operator.exit_status not in (None, 0)
    told = operator.log.read_text()
    assert "AUTOLFADS_PRICE_TABLE: " in told
    assert "machines[0].onDemand: wanted an amount an hour, such as 0.85, found -1; change it" in told


@pytest.mark.gcs
@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
@SOCKETS
def test_a_run_that_really_trains_ends_at_its_budget_with_the_results_of_the_best_so_far(
    cluster, storage, lorenz, undisturbed, price_table, eventually
):
    storage.pace(3, almost_still_from=math.inf)
    lorenz.operator.environment["AUTOLFADS_PRICE_TABLE"] = price_table
    lorenz.operator.restart()
    lorenz.apply(population={"generations": 40}, output={"report": True})
    eventually(lambda: lorenz.generations >= 3, seconds=600, pause=0.2)
    limit = f"{estimate(lorenz):.2f}"
    lorenz.patch(budget={"maxCost": limit, "onExceeded": "Fail"})

    eventually(lambda: wish(lorenz) is not None and wish(lorenz).finish, seconds=60)
    committed = lorenz.manifest().generation
    eventually(lambda: lorenz.status["phase"] == "Failed", seconds=300)

    # The generation that was under way was the last; the one before it may still have been on its way here.
    assert lorenz.manifest().generation <= committed + 2
    assert lorenz.manifest().stop_reason == BUDGET_STOP
    failed = lorenz.condition("Failed")
    assert failed["reason"] == "BudgetExceeded"
    assert f"wanted at most {limit} EUR" in failed["message"]
    assert lorenz.status["paths"]["bestModel"] == f"{lorenz.address}/best/weights.npz"
    done = lorenz.manifest().generation + 1
    assert done < 40
    assert lorenz.differing(undisturbed(generations=done)) == []
    report = lorenz.store.read("report/report.html").content.decode()
    assert "Estimated cost: " in report
    assert "EUR" in report
    assert "rates.h5" in lorenz.store.names()
