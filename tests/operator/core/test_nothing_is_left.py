"""Issue 5: no run can leave a GPU node behind, and none a cost that is not in its record.

Steps of everybody are drawn: of several runs and their users, of an operator that is killed anywhere, of
Google and of others in the project. Then the faults stop, and time passes. What is tested are the pure plan,
the operator's own view of the cloud and its client over gRPC (see simulated_lab); `test_pools_converge` draws
many more steps, two operators at once among them, against a simulation of all that.

Cost: what the records hold is what Google's bill says, but for what docs/cost.md says. For each machine, to
the second: not counted is the time in which it starts, and stands empty before it is taken away; nor a stay
of a pod on it that no look has seen of which the record could be kept; and what has ended is counted on until
the next such look. A run that is let go while its folder is down lacks what came after its record was kept
last: at most two minutes of what went on, beside what no look has seen.

AUTOLFADS_SEQUENCES=1000 draws so many.
"""

import asyncio
import os
import types
from unittest.mock import Mock

import pytest
import yaml
from google.api_core.retry import retry_base, retry_unary_async
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autolfads_operator.manifests import configmap, names
from autolfads_operator.metrics import Metrics
from autolfads_operator.settings import OperatorSettings
from autolfads_spec.status import Phase
from gke import cluster_manager as grpc_server
from gke import compute, project
from gke.machine_room import BOOT_SECONDS, IDLE_SECONDS
from gke.project import CLUSTER, Project

SEQUENCES = int(os.environ.get("AUTOLFADS_SEQUENCES", "20"))
TABLE = {
    "name": "test",
    "date": "2030-01-01",
    "region": "us-central1",
    "currency": "USD",
    "head": {"cpu": 0.05, "memoryGib": 0.01},
    "machines": [{"machineType": "g2-standard-8", "accelerator": "nvidia-l4", "onDemand": 8.0, "spot": 3.0}],
}
READS, WRITES = (
    ("ListNodePools", "GetNodePool", "ListOperations", "GetOperation"),
    ("CreateNodePool", "SetNodePoolAutoscaling", "DeleteNodePool"),
)
CODES = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "ABORTED", "DEADLINE_EXCEEDED", "UNKNOWN")
REFUSALS = ("INVALID_ARGUMENT", "PERMISSION_DENIED", "FAILED_PRECONDITION")
WORK = ("everybody",) * 30 + ("operator", "operator", "operator", "others", "wait", "sweep")
FAULTS = (
    "killed before the next action",
    "killed while it asks",
    "upgraded",
    "away",
    "kill the driver",
    "lose the cluster",
    "delete the RayJob",
    "folder down",
    "folder up",
    "folder up",
    "KubeRay down",
    "KubeRay up",
    "KubeRay up",
)
GOOGLE = (
    "write refused",
    "write fails",
    "reply lost",
    "reply lost",
    "overtaken",
    "operation fails",
    "read fails",
    "down",
    "up",
    "up",
    "denied",
    "allowed",
    "allowed",
    "busy",
    "touched",
    "deleted by hand",
    "preempted",
    "preempted",
    "spot runs dry",
    "all run dry",
    "restocked",
    "restocked",
    "quota lowered",
    "quota raised",
    "quota raised",
)
USERS = ("apply", "apply", "delete", "force", "suspend", "resume", "resume", "more workers", "fewer workers")
MODES, WAYS = ("Shared", "Shared", "Dedicated"), ("OnDemand", "Spot", "SpotThenOnDemand")
ENDS = ("finish", "finish", "delete", "suspend")
MOST_RUNS = 4
DAY = 86400.0

STEPS = st.lists(
    st.tuples(st.integers(0, 23), st.sampled_from((*WORK, *FAULTS, *GOOGLE, *USERS))),
    min_size=30,
    max_size=120,
)
RUNS = st.lists(st.tuples(st.sampled_from(MODES), st.sampled_from(WAYS)), min_size=1, max_size=2)


def do(lab, number, what):
    """One step; the number says which run, method, code or machine."""
    world = lab.worlds[number % len(lab.worlds)]
    google, method = lab.project, WRITES[number % len(WRITES)]
    match what:
        case "everybody":
            for _ in range(1 + number % 5):
                lab.tick()
        case "operator":
            lab.step(world)
        case "others":
            lab.others()
        case "wait":
            lab.pass_time(30)
        case "sweep":
            lab.sweep()
        case "killed before the next action":
            lab.step(world)
            for _ in range(number % 5):
                lab.step(world)
            lab.restart()
        case "killed while it asks":
            google.fault(method, project.cut_off(lab.kill_at_once))
        case "upgraded":
            lab.restart()
        case "away":
            lab.away((300, 1000, 5000, 20000)[number % 4])
        case "kill the driver":
            world.kill_driver()
        case "lose the cluster":
            world.lose_cluster()
        case "delete the RayJob":
            world.delete_job_by_hand()
        case "folder down" | "folder up":
            world.store_up = what == "folder up"
        case "KubeRay down" | "KubeRay up":
            world.kuberay_up = what == "KubeRay up"
        case _ if what in GOOGLE:
            fail(lab, google, number, method, what)
        case _:
            wish(lab, world, number, what)


def fail(lab, google, number, method, what):
    match what:
        case "write refused":
            google.fault(method, project.error(REFUSALS[number // 3 % len(REFUSALS)]))
        case "write fails":
            google.fault(method, project.error(CODES[number // 3 % len(CODES)]))
        case "reply lost":
            google.fault(method, project.reply_lost(CODES[number // 3 % len(CODES)]))
        case "overtaken":
            google.fault(method, project.overtaken(30 * (number // 3)))
        case "operation fails":
            google.fault(method, project.fails_late())
        case "read fails":
            google.fault(READS[number % len(READS)], project.error(CODES[number // 4 % len(CODES)]))
        case "down" | "up":
            google.is_down = what == "down"
        case "denied" | "allowed":
            google.is_denied = what == "denied"
        case "busy":
            google.meddle(seconds=60 * (1 + number))
        case "touched" | "deleted by hand":
            for pool in lab.ours()[number % 2 :][:1]:
                google.touch(pool.name) if what == "touched" else google.remove(pool.name)
        case "preempted":
            running = google.running()
            for machine in running[number % max(1, len(running)) :][:1]:
                google.preempt(machine)
            lab.place()
        case "spot runs dry" | "all run dry":
            google.stock_out(provisioning="Spot" if what == "spot runs dry" else None)
        case "restocked":
            google.restock()
        case "quota lowered" | "quota raised":
            google.quotas = {name: 0 if what == "quota lowered" else 16 for name in google.quotas}


def wish(lab, world, number, what):
    match what:
        case "apply" if len(lab.worlds) < MOST_RUNS:
            lab.apply(MODES[number % 3], WAYS[number // 3 % 3])
        case "delete":
            world.delete()
        case "force":
            world.annotations[names.FORCE_DELETE] = "true"
            world.delete()
        case "suspend" | "resume":
            world.change(suspend=what == "suspend")
        case "more workers" | "fewer workers":
            desired = 3 if what == "more workers" else 1
            compute = world.run.spec.compute
            workers = compute.workers.model_copy(update={"desired": desired})
            world.change(compute=compute.model_copy(update={"workers": workers}))


@pytest.fixture(scope="module")
def price_table(tmp_path_factory):
    path = tmp_path_factory.mktemp("prices") / "prices.yaml"
    path.write_text(yaml.safe_dump(TABLE))
    return str(path)


@pytest.fixture(scope="module")
def loop():
    with asyncio.Runner() as runner:
        yield runner.get_loop()


@pytest.fixture(scope="module")
def labs(simulated_lab, make_run, price_table, loop):
    """labs() makes one: a project with a pool of somebody else, served, and an operator."""
    terms = OperatorSettings(
        worker_image="registry.example/worker:1",
        cluster=CLUSTER,
        install_id="lab-install",
        price_table=price_table,
    )
    clock, metrics = simulated_lab.Clock(), Metrics()
    served = _Served()
    with (
        pytest.MonkeyPatch.context() as patch,
        served.by_grpc() as endpoint,
        compute.serving(served) as quotas,
    ):
        # The text of run.yaml is another test's business, and slow.
        patch.setattr(configmap, "dump_run", lambda run: run.metadata.name)
        patch.setattr(retry_unary_async, "asyncio", types.SimpleNamespace(sleep=clock.sleep))
        for module in (retry_base, retry_unary_async):
            patch.setattr(module, "time", clock)

        def make():
            close()
            clock.seconds = 1000.0
            served.project = Project(now=clock, operation_seconds=90)
            served.project.endpoint, served.project.compute = endpoint, quotas
            served.project.put_foreign_pool("alr-nvidia-l4-somebody")
            served.project.put_foreign_pool("training", **{"autolfads-operator": "another-install"})
            lab = simulated_lab.Lab(served.project, loop, terms, make_run, metrics)
            made.append(lab)
            return lab

        def close():
            while made:
                loop.run_until_complete(made.pop().process.close())

        made = []
        yield make
        close()


class _Served:
    """The project that is served at the moment."""

    project = None

    def __getattr__(self, name):
        return getattr(self.project, name)

    def by_grpc(self):
        return grpc_server.serving(self)


def foreign(lab):
    return {
        name: (pool.etag, pool.status) for name, pool in lab.project.pools.items() if pool not in lab.ours()
    }


def wrap_up(lab, ends):
    """No fault any more: runs are finished, deleted or suspended, and everything comes to rest."""
    for world, end in zip(lab.worlds, ends, strict=False):
        if end == "delete":
            world.delete()
        else:
            world.change(suspend=end == "suspend")
    for _ in range(4):
        assert lab.settle(lambda: all(map(lab.is_at_rest, lab.worlds)), DAY)
        given_up = [
            world
            for world, end in zip(lab.worlds, ends, strict=False)
            if end == "finish" and world.status.phase is Phase.SUSPENDED and not world.gone
        ]
        if not given_up:
            break
        lab.settle(lambda: False, 600)  # a shared pool that is broken goes first
        for world in given_up:
            world.change(suspend=False)
    assert lab.settle(lambda: all(map(lab.is_at_rest, lab.worlds)) and lab.is_empty(), DAY)
    for _ in range(3):
        lab.tick(600)


def check_cost(lab):
    for world in lab.worlds:
        bill = lab.bill(world)
        assert bill.least - 1e-6 <= bill.amount <= bill.most + 1e-6, (world.uid, bill)
        assert bill.gpu_least - 1e-6 <= bill.gpu_hours <= bill.gpu_most + 1e-6, (world.uid, bill)
    for pool, seconds in lab.project.bill().items():
        stays = [stay for stay in lab.room.stays if stay.machine.pool == pool]
        machines = [machine for machine in lab.project.machines if machine.pool == pool]
        empty_seconds = seconds - sum(stay.ended - stay.began for stay in stays)
        most = len(machines) * (BOOT_SECONDS + IDLE_SECONDS) + len(stays) * IDLE_SECONDS
        assert -1e-3 <= empty_seconds <= most + 1e-3


@pytest.mark.timeout(120 + 10 * SEQUENCES)  # a second each, on a machine that does nothing else
@settings(max_examples=SEQUENCES, suppress_health_check=list(HealthCheck))
@given(
    runs=RUNS,
    squatted=st.sampled_from((False,) * 7 + (True,)),
    steps=STEPS,
    ends=st.lists(st.sampled_from(ENDS), min_size=MOST_RUNS, max_size=MOST_RUNS),
)
def test_whatever_happens_no_machine_is_left_and_every_one_is_in_a_record(labs, runs, squatted, steps, ends):
    lab = labs()
    for mode, way in runs:
        lab.apply(mode, way)
    if squatted:
        lab.project.put_foreign_pool(lab.wanted_names()[0])
    of_others = foreign(lab)
    for number, what in steps:
        do(lab, number, what)
        assert foreign(lab) == of_others
    wrap_up(lab, ends)

    assert lab.ours() == []
    assert lab.project.running() == []
    assert foreign(lab) == of_others
    for world, end in zip(lab.worlds, ends, strict=False):
        if end == "finish" and world.deleted_at is None and not squatted:
            assert world.status.phase is Phase.SUCCEEDED, world.status.message
    check_cost(lab)


def test_the_last_look_at_a_run_that_is_let_go_at_once_keeps_what_it_has_cost(make_world, simulator):
    world = make_world("Running", generations=50)
    operator = simulator.Operator(world)
    operator.turn()
    world.pass_time(60)
    world.annotations[names.FORCE_DELETE] = "true"
    world.delete()
    operator.turn()

    assert world.gone
    assert world.folder.cost.gpu_hours == pytest.approx(world.hours["worker"])


def test_a_look_counts_although_what_it_decides_fails(make_world, simulator, monkeypatch):
    world = make_world("Running", generations=50)
    monkeypatch.setattr(world, "_do_ScaleWorkers", Mock(side_effect=simulator.OutdatedActionError))
    wish(None, world, 0, "more workers")
    for _ in range(5):
        world.pass_time(60)
        simulator.Operator(world).turn()

    assert world.folder.cost.gpu_hours == pytest.approx(world.hours["worker"], abs=2 * 120 / 3600)
