"""What the fake does as Google documents it, asked by Google's own client: the list it is held to.

Not shown here is that GKE really does so: that takes a project of one's own. Sources: the reference of the
Cluster Manager (its messages' comments), GKE's pages on cluster autoscaling, GPUs and Spot VMs, Compute
Engine's on allocation quotas, and the errors that users of other clients have reported.
"""

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import container_v1
from google.cloud.container_v1.services.cluster_manager.transports import ClusterManagerGrpcTransport

from autolfads_operator.manifests.node_pool import node_pool
from gke import autoscaler
from gke.project import CLUSTER, Machine, Shortage, error, fails_late, reply_lost

NAME = "alr-l4-0123abcd"
PATH = f"{CLUSTER}/nodePools/{NAME}"


@pytest.fixture
def google(cluster_manager):
    channel = grpc.insecure_channel(cluster_manager.endpoint)
    yield container_v1.ClusterManagerClient(transport=ClusterManagerGrpcTransport(channel=channel))
    channel.close()


@pytest.fixture
def made(google, pool, clock, project):
    """A pool that is there, and the cluster free again."""
    google.create_node_pool(parent=CLUSTER, node_pool=node_pool("lab", pool()))
    project.finish()
    return google.get_node_pool(name=PATH)


def operation(google, name):
    return google.get_operation(name=f"{CLUSTER.partition('/clusters/')[0]}/operations/{name}")


def test_a_pool_being_made_is_seen_as_provisioning_until_its_operation_is_done(google, pool, clock):
    begun = google.create_node_pool(parent=CLUSTER, node_pool=node_pool("lab", pool()))

    assert begun.status.name == "RUNNING"
    assert begun.operation_type.name == "CREATE_NODE_POOL"
    assert begun.target_link.endswith(f"/clusters/atlas/nodePools/{NAME}")
    assert google.get_node_pool(name=PATH).status.name == "PROVISIONING"
    clock.advance(59)
    assert operation(google, begun.name).status.name == "RUNNING"
    clock.advance(1)
    assert operation(google, begun.name).status.name == "DONE"
    assert google.get_node_pool(name=PATH).status.name == "RUNNING"


def test_what_was_asked_for_is_told_back(google, made):
    assert (made.config.machine_type, made.config.accelerators[0].accelerator_type) == (
        "g2-standard-8",
        "nvidia-l4",
    )
    assert made.autoscaling.total_max_node_count == 4
    assert list(made.locations) == ["us-central1-a", "us-central1-b", "us-central1-c"]
    assert [found.name for found in google.list_node_pools(parent=CLUSTER).node_pools] == [NAME]


def test_a_name_is_taken_once(google, made, pool):
    with pytest.raises(exceptions.AlreadyExists):
        google.create_node_pool(parent=CLUSTER, node_pool=node_pool("lab", pool()))


def test_a_cluster_does_one_thing_at_a_time(google, made, pool, clock):
    google.delete_node_pool(name=PATH)

    with pytest.raises(exceptions.FailedPrecondition, match="deleting a node pool") as refused:
        google.create_node_pool(parent=CLUSTER, node_pool=node_pool("lab", pool(name="other")))

    assert refused.value.reason == "CLUSTER_ALREADY_HAS_OPERATION"
    clock.advance(60)
    google.create_node_pool(parent=CLUSTER, node_pool=node_pool("lab", pool(name="other")))


def test_a_deleted_pool_stops_and_is_gone_in_the_end_with_its_machines(google, made, project, clock):
    project.grow(NAME)
    google.delete_node_pool(name=PATH)

    assert google.get_node_pool(name=PATH).status.name == "STOPPING"
    assert len(project.running()) == 1
    clock.advance(60)
    with pytest.raises(exceptions.NotFound):
        google.get_node_pool(name=PATH)
    with pytest.raises(exceptions.NotFound):
        google.delete_node_pool(name=PATH)
    assert project.bill() == {NAME: 60.0}


def test_autoscaling_is_changed_by_an_operation(google, made, clock):
    scaling = {"enabled": True, "total_max_node_count": 9}
    google.set_node_pool_autoscaling(request={"name": PATH, "autoscaling": scaling})

    assert google.get_node_pool(name=PATH).status.name == "RECONCILING"
    clock.advance(60)
    assert google.get_node_pool(name=PATH).autoscaling.total_max_node_count == 9


def test_an_operation_may_fail_late_and_leaves_a_pool_in_error(google, project, pool, clock):
    project.fault("CreateNodePool", fails_late("GCE_STOCKOUT", "no L4 in us-central1"))
    begun = google.create_node_pool(parent=CLUSTER, node_pool=node_pool("lab", pool()))
    clock.advance(60)

    ended = operation(google, begun.name)
    found = google.get_node_pool(name=PATH)
    assert (ended.status.name, ended.error.message) == ("DONE", "no L4 in us-central1")
    assert (found.status.name, found.conditions[0].code.name) == ("ERROR", "GCE_STOCKOUT")


def test_an_update_with_an_old_etag_is_aborted(google, made):
    labels = {"labels": {"somebody": "else"}}
    google.update_node_pool(request={"name": PATH, "etag": made.etag, "resource_labels": labels})

    assert google.get_node_pool(name=PATH).etag != made.etag
    with pytest.raises(exceptions.Aborted):
        google.update_node_pool(request={"name": PATH, "etag": made.etag, "resource_labels": labels})


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"name": "Upper"}, id="name"),
        pytest.param({"name": "a" * 41}, id="long name"),
        pytest.param({"locations": ["europe-west4-a"]}, id="zone elsewhere"),
        pytest.param(
            {"autoscaling": {"enabled": True, "total_max_node_count": 4, "max_node_count": 2}}, id="counts"
        ),
    ],
)
def test_what_makes_no_sense_is_refused(google, pool, change):
    with pytest.raises(exceptions.InvalidArgument):
        google.create_node_pool(parent=CLUSTER, node_pool=node_pool("lab", pool()) | change)


def test_an_unknown_cluster_is_not_found(google):
    with pytest.raises(exceptions.NotFound):
        google.list_node_pools(parent=CLUSTER + "x")


def test_the_client_asks_again_when_reading_fails_and_never_when_making(google, project, pool):
    project.fault("GetNodePool", error("UNAVAILABLE"), times=2)
    project.fault("CreateNodePool", error("UNAVAILABLE"))
    project.put_foreign_pool(NAME)
    google.get_node_pool(name=PATH)
    with pytest.raises(exceptions.ServiceUnavailable):
        google.create_node_pool(parent=CLUSTER, node_pool=node_pool("lab", pool(name="other")))

    assert project.asked("GetNodePool") == ["UNAVAILABLE", "UNAVAILABLE", "OK"]
    assert project.asked("CreateNodePool") == ["UNAVAILABLE"]
    assert list(project.pools) == [NAME]


def test_a_lost_reply_leaves_what_was_done(google, project, pool):
    project.fault("CreateNodePool", reply_lost())
    with pytest.raises(exceptions.ServiceUnavailable):
        google.create_node_pool(parent=CLUSTER, node_pool=node_pool("lab", pool()))

    assert list(project.pools) == [NAME]


# Machines and the autoscaler


def test_a_pool_grows_to_its_maximum_over_all_zones(made, project):
    grown = [project.grow(NAME) for _ in range(5)]

    assert all(isinstance(machine, Machine) for machine in grown[:4])
    assert grown[4] == Shortage("", "max node group size reached")
    assert len({machine.zone for machine in grown[:4]}) == 3


def test_a_machine_comes_from_whichever_zone_has_one(made, project):
    project.stock_out("nvidia-l4", zone="us-central1-a")
    project.stock_out("nvidia-l4", zone="us-central1-c")

    assert {project.grow(NAME).zone for _ in range(3)} == {"us-central1-b"}


def test_a_stockout_is_told_by_the_pool_until_a_machine_comes(google, made, project):
    project.stock_out("nvidia-l4")
    project.grow(NAME)

    short = google.get_node_pool(name=PATH)
    assert (short.status.name, short.conditions[0].code.name) == ("RUNNING_WITH_ERROR", "GCE_STOCKOUT")
    project.restock()
    project.grow(NAME)
    assert list(google.get_node_pool(name=PATH).conditions) == []


def test_a_quota_stops_growth_and_is_named(google, made, project):
    project.quotas["NVIDIA_L4_GPUS"] = 3
    project.others_use("NVIDIA_L4_GPUS", 2)
    project.grow(NAME)
    project.grow(NAME)

    (condition,) = google.get_node_pool(name=PATH).conditions
    assert condition.code.name == "GCE_QUOTA_EXCEEDED"
    assert "'NVIDIA_L4_GPUS' exceeded. Limit: 3.0" in condition.message
    assert len(project.running()) == 1


def test_spot_machines_count_against_the_preemptible_quota(google, project, pool):
    google.create_node_pool(parent=CLUSTER, node_pool=node_pool("lab", pool(provisioning="Spot")))
    project.finish()
    project.grow(NAME)

    assert project.usage("PREEMPTIBLE_NVIDIA_L4_GPUS") == 1
    assert project.usage("NVIDIA_L4_GPUS") == project.usage("GPUS_ALL_REGIONS") == 0


def test_the_bill_counts_the_seconds_in_which_machines_ran(made, project, clock):
    first = project.grow(NAME)
    clock.advance(10)
    project.grow(NAME)
    clock.advance(5)
    project.preempt(first)
    clock.advance(100)

    assert project.bill() == {NAME: 15.0 + 105.0}


def test_nodes_carry_the_labels_and_the_taint_of_gke(project, google, pool):
    google.create_node_pool(parent=CLUSTER, node_pool=node_pool("lab", pool(provisioning="Spot")))
    (made,) = project.pools.values()
    labels = autoscaler.node_labels(made, "us-central1-b")

    assert labels == {
        "autolfads-operator": "lab",
        "autolfads-spec": "0123abcd",
        "cloud.google.com/gke-nodepool": NAME,
        "cloud.google.com/gke-accelerator": "nvidia-l4",
        "cloud.google.com/gke-spot": "true",
        "node.kubernetes.io/instance-type": "g2-standard-8",
        "topology.kubernetes.io/region": "us-central1",
        "topology.kubernetes.io/zone": "us-central1-b",
    }
    assert autoscaler.taints(made) == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
