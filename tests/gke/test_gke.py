"""Our side of the Cluster Manager, over Google's own client and gRPC: asked once, adopted, never stolen."""

import asyncio
import threading
import time

import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError

from autolfads_operator.errors import (
    BusyError,
    CloudDeniedError,
    CloudUnavailableError,
    NotOwnedError,
    OutdatedError,
    PoolRefusedError,
)
from autolfads_operator.gke import ClusterManager, insecure
from autolfads_operator.observed import NodePool
from autolfads_spec.status import Reason
from gke.fixtures import INSTALL
from gke.project import CLUSTER, error, fails_late, reply_lost, slow

NAME = "alr-l4-0123abcd"
WRITES = ("CreateNodePool", "SetNodePoolAutoscaling", "DeleteNodePool")


def wait_until(question, seconds=10):
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def ready(ask, project, pool):
    """A pool of ours that is running."""
    ask(lambda gke: gke.create(pool()))
    project.finish()
    return ask(lambda gke: gke.node_pool(NAME))


def test_a_pool_is_made_once_and_seen_in_our_words(ask, project, pool):
    wanted = pool(run_uid="uid-1")
    found = ask(
        lambda gke: gke.create(wanted),
        lambda gke: gke.create(wanted),
        lambda gke: gke.node_pool(NAME),
    )

    assert found == NodePool(
        name=NAME,
        status="PROVISIONING",
        is_ours=True,
        spec_hash="0123abcd",
        run_uid="uid-1",
        max_nodes=4,
        operation="operation-1",
        etag=project.pools[NAME].etag,
    )
    assert project.asked("CreateNodePool") == ["OK"]


def test_a_pool_that_is_ready_has_no_operation(ready):
    assert (ready.status, ready.operation, ready.conditions) == ("RUNNING", None, ())


def test_there_is_no_pool_of_another_name(ask):
    assert ask(lambda gke: gke.node_pool("other")) is None


def test_every_pool_has_what_the_design_asks_for(ask, project, pool):
    ask(
        lambda gke: gke.create(
            pool(zones=("us-central1-b",), labels={"lab": "reach"}, driver_version="Latest")
        )
    )
    made = project.pools[NAME]
    config = made.config

    assert (made.initial_node_count, made.autoscaling.enabled) == (0, True)
    assert (made.autoscaling.total_min_node_count, made.autoscaling.total_max_node_count) == (0, 4)
    assert made.autoscaling.location_policy.name == "ANY"
    assert (made.management.auto_repair, made.management.auto_upgrade) == (True, True)
    assert list(made.locations) == ["us-central1-b"]
    (accelerator,) = config.accelerators
    assert (accelerator.accelerator_type, accelerator.accelerator_count) == ("nvidia-l4", 1)
    assert accelerator.gpu_driver_installation_config.gpu_driver_version.name == "LATEST"
    assert list(config.oauth_scopes) == ["https://www.googleapis.com/auth/cloud-platform"]
    assert config.workload_metadata_config.mode.name == "GKE_METADATA"
    assert config.shielded_instance_config.enable_integrity_monitoring
    whose = {"autolfads-operator": INSTALL, "autolfads-spec": "0123abcd", "lab": "reach"}
    assert dict(config.labels) == dict(config.resource_labels) == whose
    assert not config.taints
    assert (config.spot, config.flex_start) == (False, False)


def test_spot_and_flex_start_are_bought_as_such(ask, project, pool):
    spot, flexible = pool(name="spot", provisioning="Spot"), pool(name="flexible", provisioning="FlexStart")
    ask(lambda gke: gke.create(spot))
    project.finish()
    ask(lambda gke: gke.create(flexible))

    assert project.pools["spot"].config.spot
    assert project.pools["spot"].management.auto_repair
    assert project.pools["flexible"].config.flex_start
    assert not project.pools["flexible"].management.auto_repair
    affinity = project.pools["flexible"].config.reservation_affinity
    assert affinity.consume_reservation_type.name == "NO_RESERVATION"


def test_a_pool_of_cpu_nodes_has_no_accelerator(ask, project, pool):
    ask(lambda gke: gke.create(pool(machine_type="n2-standard-8", accelerator=None, accelerators_per_node=0)))

    assert not project.pools[NAME].config.accelerators


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "CANCELLED"])
def test_fault_23_a_pool_whose_reply_was_lost_is_adopted(ask, project, pool, code):
    project.fault("CreateNodePool", reply_lost(code))
    ask(lambda gke: gke.create(pool()), lambda gke: gke.create(pool()))

    assert project.asked("CreateNodePool") == [code]
    assert list(project.pools) == [NAME]


def test_fault_23_it_is_adopted_by_the_next_process_too(ask, project, pool):
    project.fault("CreateNodePool", reply_lost())
    ask(lambda gke: gke.create(pool()))
    ask(lambda gke: gke.create(pool()))
    project.finish()
    ask(lambda gke: gke.create(pool()))

    assert len(project.asked("CreateNodePool")) == 1


def test_a_pool_that_was_not_made_is_said_not_to_be(ask, project, pool):
    project.fault("CreateNodePool", error("UNAVAILABLE"))
    with pytest.raises(
        CloudUnavailableError, match=r"wanted .*, found 'said so by the test'; it is looked up"
    ):
        ask(lambda gke: gke.create(pool()))

    assert project.asked("CreateNodePool") == ["UNAVAILABLE"]
    ask(lambda gke: gke.create(pool()))
    assert list(project.pools) == [NAME]


def test_a_lost_reply_that_nobody_can_look_up_is_told_and_adopted_later(ask, project, pool):
    project.fault("GetNodePool", error("NOT_FOUND"))
    project.fault("CreateNodePool", reply_lost())
    project.fault("GetNodePool", error("UNAVAILABLE"), times=50)
    with pytest.raises(CloudUnavailableError):
        ask(lambda gke: gke.create(pool()), timeout_seconds=3)
    project.faults_over()
    ask(lambda gke: gke.create(pool()))

    assert project.asked("CreateNodePool") == ["UNAVAILABLE"]


def test_fault_24_a_foreign_pool_is_never_touched(ask, project, pool):
    project.put_foreign_pool(NAME, team="optics")
    before = project.pools[NAME].etag
    for question in (
        lambda gke: gke.create(pool()),
        lambda gke: gke.resize(NAME, 9),
        lambda gke: gke.delete(NAME),
    ):
        with pytest.raises(
            NotOwnedError, match=f"wanted the label autolfads-operator={INSTALL}, found ''"
        ) as refused:
            ask(question)

    assert refused.value.reason is Reason.NODE_POOL_NOT_OWNED
    assert ask(lambda gke: gke.node_pool(NAME)).is_ours is False
    assert ask(lambda gke: gke.node_pools()) == ()
    assert project.asked(*WRITES) == []
    assert project.pools[NAME].etag == before


def test_a_pool_of_another_installation_is_foreign(ask, ready, project, pool):
    for question in (lambda gke: gke.create(pool()), lambda gke: gke.delete(NAME)):
        with pytest.raises(NotOwnedError):
            ask(question, install="another")

    assert project.asked(*WRITES) == ["OK"]


def test_a_pool_of_ours_that_is_another_is_not_adopted(ask, ready, pool):
    with pytest.raises(NotOwnedError, match="wanted spec fedc, found '0123abcd'"):
        ask(lambda gke: gke.create(pool(spec_hash="fedc")))


def test_only_pools_of_this_installation_are_listed(ask, ready, project):
    project.put_foreign_pool("default-pool")

    assert ask(lambda gke: gke.node_pools()) == (ready,)


# One thing at a time


def test_two_writers_at_once_take_turns(cluster_manager, pool):
    async def both():
        gke = ClusterManager(CLUSTER, INSTALL, insecure(cluster_manager.endpoint))
        try:
            wanted = (pool(), pool(name="other"))
            return await asyncio.gather(*(gke.create(each) for each in wanted), return_exceptions=True)
        finally:
            await gke.close()

    first, second = asyncio.run(both())

    assert first is None
    assert isinstance(second, BusyError)
    assert "operation-1 still under way" in str(second)
    assert cluster_manager.asked("CreateNodePool") == ["OK"]  # GKE was not even asked


def test_two_processes_at_once_are_kept_apart_by_gke(ask, project, pool):
    ask(lambda gke: gke.create(pool()))
    with pytest.raises(BusyError, match="Please wait and try again once it is done"):
        ask(lambda gke: gke.create(pool(name="other")))

    assert project.asked("CreateNodePool") == ["OK", "FAILED_PRECONDITION"]


def test_the_next_writer_has_its_turn_when_the_operation_is_over(ask, project, clock, pool):
    async def later(gke):
        clock.advance(60)
        await gke.create(pool(name="other"))

    ask(lambda gke: gke.create(pool()), later)

    assert list(project.pools) == [NAME, "other"]


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(error("RESOURCE_EXHAUSTED", "hits the concurrent operations quota 5"), id="too many"),
        pytest.param(error("FAILED_PRECONDITION", "x", "CLUSTER_ALREADY_HAS_OPERATION"), id="by its reason"),
    ],
)
def test_a_busy_cluster_is_waited_for_longer_each_time(ask, project, pool, refusal):
    waits = []
    project.fault("CreateNodePool", refusal, times=5)

    async def asked_again_and_again(gke):
        for _ in range(5):
            with pytest.raises(BusyError) as busy:
                await gke.create(pool())
            waits.append(busy.value.wait_seconds)
        await gke.create(pool())

    ask(asked_again_and_again)

    assert waits == [15, 30, 60, 120, 120]
    assert list(project.pools) == [NAME]


def test_the_wait_begins_anew_after_a_turn(ask, project, pool, clock):
    project.fault("CreateNodePool", error("RESOURCE_EXHAUSTED"), times=2)
    waits = []

    async def twice(gke):
        for _ in range(2):
            with pytest.raises(BusyError):
                await gke.create(pool())
        await gke.create(pool())
        with pytest.raises(BusyError) as busy:
            await gke.resize(NAME, 9)
        waits.append(busy.value.wait_seconds)

    ask(twice)

    assert waits == [15]


# Refusals


@pytest.mark.parametrize(
    ("refusal", "wanted", "sentence"),
    [
        pytest.param(
            error("PERMISSION_DENIED", 'Required "container.clusters.update"'),
            CloudDeniedError,
            "grant the operator's service account container.clusters.update",
            id="denied",
        ),
        pytest.param(error("UNAUTHENTICATED"), CloudDeniedError, "grant", id="unknown to Google"),
        pytest.param(
            error("INVALID_ARGUMENT", "no such machine"), PoolRefusedError, "change spec.compute", id="bad"
        ),
        pytest.param(
            error("PERMISSION_DENIED", "Insufficient regional quota to satisfy request"),
            PoolRefusedError,
            "request more of that quota",
            id="quota",
        ),
        pytest.param(
            error("FAILED_PRECONDITION", "is not running"), PoolRefusedError, "is not running", id="other"
        ),
    ],
)
def test_a_refusal_says_what_to_do(ask, project, pool, refusal, wanted, sentence):
    project.fault("CreateNodePool", refusal)
    with pytest.raises(wanted, match=sentence):
        ask(lambda gke: gke.create(pool()))

    assert project.pools == {}


def test_a_cluster_that_does_not_exist_is_told(ask, pool):
    for question in (lambda gke: gke.create(pool()), lambda gke: gke.node_pools()):
        with pytest.raises(CloudDeniedError, match="AUTOLFADS_CLUSTER"):
            ask(question, cluster=CLUSTER + "x")


def test_reading_without_rights_names_the_rights(ask, project):
    project.is_denied = True
    with pytest.raises(CloudDeniedError, match=r"container\.clusters\.get"):
        ask(lambda gke: gke.node_pools())


def test_reading_is_tried_again_while_google_is_away(ask, ready, project):
    project.fault("GetNodePool", error("UNAVAILABLE"), times=2)

    assert ask(lambda gke: gke.node_pool(NAME)) == ready


def test_reading_gives_up_when_google_stays_away(ask, project):
    project.is_down = True
    with pytest.raises(CloudUnavailableError, match="it is asked again"):
        ask(lambda gke: gke.node_pool(NAME), timeout_seconds=0.3)


def test_a_request_that_arrives_after_we_gave_it_up_is_adopted(ask, project, pool):
    project.fault("CreateNodePool", slow(6))
    with pytest.raises(CloudUnavailableError):  # a busy machine needs a second to connect
        ask(lambda gke: gke.create(pool()), timeout_seconds=3)
    wait_until(lambda: project.pools)
    ask(lambda gke: gke.create(pool()))

    assert project.asked("CreateNodePool") == ["OK"]


def test_nobody_listens_at_the_endpoint(pool):
    async def create():
        gke = ClusterManager(CLUSTER, INSTALL, insecure("127.0.0.1:1"), timeout_seconds=0.3)
        try:
            await gke.create(pool())
        finally:
            await gke.close()

    with pytest.raises(CloudUnavailableError):
        asyncio.run(create())


# What GKE says of a pool


def test_a_stockout_is_a_condition_of_the_pool(ask, ready, project):
    project.stock_out("nvidia-l4")
    project.grow(NAME)
    found = ask(lambda gke: gke.node_pool(NAME))

    assert found.status == "RUNNING_WITH_ERROR"
    ((code, message),) = found.conditions
    assert code == "GCE_STOCKOUT"
    assert "do not have enough resources" in message
    assert found.etag != ready.etag


def test_an_operation_that_failed_late_shows_in_the_pool_and_frees_the_turn(ask, project, pool, clock):
    project.fault("CreateNodePool", fails_late("GCE_QUOTA_EXCEEDED", "too few addresses"))

    async def later(gke):
        clock.advance(60)
        await gke.delete(NAME)

    ask(lambda gke: gke.create(pool()), later)
    project.finish()
    assert project.pools == {}


def test_a_pool_in_error_tells_why(ask, project, pool):
    project.fault("CreateNodePool", fails_late("GCE_QUOTA_EXCEEDED", "too few addresses"))
    ask(lambda gke: gke.create(pool()))
    project.finish()
    found = ask(lambda gke: gke.node_pool(NAME))

    assert (found.status, found.conditions) == ("ERROR", (("GCE_QUOTA_EXCEEDED", "too few addresses"),))


def test_a_maximum_by_zone_is_told_for_all_zones(ask, ready, project):
    project.pools[NAME].autoscaling = {"enabled": True, "min_node_count": 1, "max_node_count": 2}
    found = ask(lambda gke: gke.node_pool(NAME))

    assert (found.min_nodes, found.max_nodes) == (3, 6)


# Resize and delete


def test_a_pool_is_resized_once(ask, ready, project):
    ask(lambda gke: gke.resize(NAME, 9, ready.etag))
    project.finish()
    ask(lambda gke: gke.resize(NAME, 9))

    assert ask(lambda gke: gke.node_pool(NAME)).max_nodes == 9
    assert project.pools[NAME].autoscaling.location_policy.name == "ANY"
    assert project.asked("SetNodePoolAutoscaling") == ["OK"]


def test_a_pool_that_is_gone_is_not_resized(ask):
    with pytest.raises(OutdatedError):
        ask(lambda gke: gke.resize(NAME, 9))


def test_a_deletion_is_followed_to_its_end(ask, ready, project, clock):
    ask(lambda gke: gke.delete(NAME, ready.etag))
    going = ask(lambda gke: gke.node_pool(NAME))
    ask(lambda gke: gke.delete(NAME, ready.etag))
    clock.advance(60)

    assert (going.status, going.operation) == ("STOPPING", "operation-2")
    assert ask(lambda gke: gke.node_pool(NAME)) is None
    ask(lambda gke: gke.delete(NAME, ready.etag))
    assert project.asked("DeleteNodePool") == ["OK"]


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL"])
def test_a_deletion_whose_reply_was_lost_is_under_way(ask, ready, project, code):
    project.fault("DeleteNodePool", reply_lost(code))
    ask(lambda gke: gke.delete(NAME))

    assert project.asked("DeleteNodePool") == [code]
    assert ask(lambda gke: gke.node_pool(NAME)).status == "STOPPING"


def test_a_deletion_that_was_not_done_is_told(ask, ready, project):
    project.fault("DeleteNodePool", error("UNAVAILABLE"))
    with pytest.raises(CloudUnavailableError):
        ask(lambda gke: gke.delete(NAME))

    assert project.pools[NAME].status.name == "RUNNING"


def test_a_pool_that_changed_since_it_was_seen_is_not_deleted(ask, ready, project):
    project.stock_out()
    project.grow(NAME)
    for question in (lambda gke: gke.delete(NAME, ready.etag), lambda gke: gke.resize(NAME, 9, ready.etag)):
        with pytest.raises(OutdatedError, match=f"wanted version {ready.etag}"):
            ask(question)

    assert project.asked("DeleteNodePool", "SetNodePoolAutoscaling") == []


def test_a_pool_that_is_going_is_waited_for_before_it_is_made_anew(ask, ready, project, pool):
    ask(lambda gke: gke.delete(NAME))
    with pytest.raises(BusyError, match="still going"):
        ask(lambda gke: gke.create(pool()))
    project.finish()
    ask(lambda gke: gke.create(pool()))

    assert project.asked("CreateNodePool") == ["OK", "OK"]


def test_every_answer_is_counted(ask, project, pool):
    counted = []
    project.fault("CreateNodePool", error("PERMISSION_DENIED"))
    with pytest.raises(CloudDeniedError):
        ask(lambda gke: gke.create(pool()), on_call=lambda *what: counted.append(what))

    assert counted == [
        ("get_node_pool", "NOT_FOUND"),
        ("create_node_pool", "PERMISSION_DENIED"),
        ("get_node_pool", "NOT_FOUND"),
    ]


# The way to Google itself


def test_without_credentials_the_cure_is_told(monkeypatch):
    def none(**_):
        raise DefaultCredentialsError("no credentials here")

    monkeypatch.setattr("autolfads_operator.gke.google.auth.default", none)
    with pytest.raises(
        CloudDeniedError, match=r"no credentials here.*; bind the operator's Kubernetes service"
    ):
        asyncio.run(ClusterManager(CLUSTER, INSTALL).node_pools())


def test_with_credentials_and_no_endpoint_it_is_google_over_tls_without_blocking_the_loop(monkeypatch):
    threads = []

    def some(scopes):
        threads.append(threading.current_thread())
        return AnonymousCredentials(), "lab"

    async def host():
        gke = ClusterManager(CLUSTER, INSTALL)
        try:
            return (await gke._connected()).transport.host
        finally:
            await gke.close()

    monkeypatch.setattr("autolfads_operator.gke.google.auth.default", some)

    assert asyncio.run(host()) == "container.googleapis.com:443"
    assert threads[0] is not threading.main_thread()
