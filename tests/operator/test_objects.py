"""Kubernetes objects as they come over the wire, and what is made of them."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolfads_operator import objects
from autolfads_operator.manifests import names
from autolfads_operator.observed import Machine, PodRole
from autolfads_operator.times import parsed_or_none
from autolfads_spec.status import ConditionType, Phase, RunStatus

UTC = datetime.UTC
LABELS = names.labels("reach", "u1", 2)


def pod(role="worker", **status):
    return {
        "metadata": {"name": "reach-a02-w", "labels": {**LABELS, "ray.io/node-type": role}},
        "spec": {"nodeName": "n1"},
        "status": status,
    }


def container(name="ray", **parts):
    return {"name": name, **parts}


def test_a_valid_run_is_read_with_its_defaults():
    run = {
        "apiVersion": "autolfads.dev/v1alpha1",
        "kind": "AutoLFADSRun",
        "metadata": {
            "name": "reach",
            "namespace": "lab",
            "uid": "u1",
            "generation": 3,
            "creationTimestamp": "2030-01-31T18:00:00Z",
            "finalizers": ["x/y"],
            "labels": {"any": "thing"},
        },
        "spec": {
            "data": {"uri": "gs://lab/reach.mat"},
            "output": {"uri": "gs://lab/runs/reach"},
            "compute": {"accelerator": {"type": "None"}},
        },
    }

    found = objects.custom_resource_of(run, objects.spec_of(run))

    assert found.run is not None
    assert found.run.spec.population.size == 20
    assert (found.name, found.namespace, found.uid, found.resource_generation) == ("reach", "lab", "u1", 3)
    assert found.created == datetime.datetime(2030, 1, 31, 18, tzinfo=UTC)
    assert found.finalizers == {"x/y"}
    assert found.deleted_at is None


def test_what_is_wrong_with_a_spec_is_told_and_no_run_is_given():
    spec = {"data": {"uri": "/here"}, "output": {"uri": "gs://lab/runs"}, "compute": {}}
    run, problems = objects.spec_of({"metadata": {"name": "a"}, "spec": spec})

    assert run is None
    assert any("data.uri" in problem for problem in problems)
    assert any("accelerator" in problem for problem in problems)


def test_a_status_of_a_later_version_is_read_without_what_is_new():
    written = {
        "phase": "Running",
        "attempt": 2,
        "mood": "good",
        "conditions": [
            {"type": "Happy", "status": "True", "reason": "AsExpected"},
            {"type": "Accepted", "status": "True", "reason": "NewReason"},
            {"type": "Complete", "status": "False", "reason": "AsExpected", "since": "never"},
        ],
    }

    found = objects.status_of(written)

    assert found.phase is Phase.RUNNING
    assert found.attempt == 2
    assert [condition.type for condition in found.conditions] == [ConditionType.COMPLETE]
    assert written["mood"] == "good"


def managed(manager, fields, **more):
    return {"manager": manager, "fieldsV1": {"f:status": fields}, "subresource": "status", **more}


def test_only_what_we_wrote_is_our_memory():
    """What the server says when somebody has patched the phase, a condition, and a field of their own."""
    status = {
        "phase": "Succeeded",
        "attempt": 1,
        "attempts": [{"number": 1}],
        "progress": {"generation": 3, "summary": "9/9"},
        "cost": {"currency": "EUR"},
        "conditions": [
            {"type": "Accepted", "status": "True", "reason": "AsExpected"},
            {"type": "Complete", "status": "True", "reason": "Succeeded"},
        ],
    }
    ours = {
        "f:attempt": {},
        "f:attempts": {},
        "f:progress": {"f:generation": {}},
        "f:conditions": {
            'k:{"type":"Accepted"}': {".": {}, "f:type": {}, "f:status": {}, "f:reason": {}},
        },
    }
    theirs = {"f:phase": {}, "f:cost": {"f:currency": {}}, "f:progress": {"f:summary": {}}}
    metadata = {"managedFields": [managed("kubectl", theirs), managed(names.FIELD_MANAGER, ours)]}

    assert objects.own_status({"metadata": metadata, "status": status}) == {
        "attempt": 1,
        "attempts": [{"number": 1}],
        "progress": {"generation": 3},
        "conditions": [status["conditions"][0]],
    }


@pytest.mark.parametrize(
    ("managers", "found"),
    [
        pytest.param(None, {"phase": "Running"}, id="a server that does not say"),
        pytest.param([managed("kubectl", {"f:phase": {}})], {}, id="never written by us"),
        pytest.param(
            [{"manager": names.FIELD_MANAGER, "fieldsV1": {"f:metadata": {}}}], {}, id="only our finalizer"
        ),
    ],
)
def test_a_status_that_nobody_says_to_be_ours(managers, found):
    thing = {"metadata": {"managedFields": managers}, "status": {"phase": "Running"}}

    assert objects.own_status(thing) == found


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
status_keys = st.sampled_from(["phase", "conditions", "attempts", "progress", "best", "attempt", "other"])


@given(st.dictionaries(status_keys, json_values, max_size=5))
def test_no_status_whatever_is_in_it_keeps_the_operator_from_looking(written):
    assert isinstance(objects.status_of(written), RunStatus)


def test_what_was_written_is_read_back():
    status = RunStatus(phase=Phase.RUNNING, attempt=1, message="m")
    written = status.model_dump(mode="json", by_alias=True, exclude_none=True)

    assert objects.status_of(written) == status


def test_a_ray_job_is_read():
    found = objects.ray_job_of(
        {
            "metadata": {
                "name": "reach-a02",
                "uid": "j",
                "labels": LABELS,
                "creationTimestamp": "2030-01-01T00:00:00Z",
            },
            "status": {
                "jobStatus": "RUNNING",
                "jobDeploymentStatus": "Running",
                "rayClusterName": "reach-a02-x",
                "startTime": "2030-01-01T00:00:30Z",
                "rayJobInfo": {"startTime": "2030-01-01T00:01:00Z"},
            },
        }
    )

    assert (found.attempt, found.job_status, found.deployment_status) == (2, "RUNNING", "Running")
    assert found.cluster_name == "reach-a02-x"
    assert found.started == datetime.datetime(2030, 1, 1, 0, 0, 30, tzinfo=UTC)
    assert found.job_started == datetime.datetime(2030, 1, 1, 0, 1, tzinfo=UTC)


def test_a_ray_job_that_nobody_looked_at_yet_is_read():
    found = objects.ray_job_of({"metadata": {"name": "a", "uid": "j", "labels": LABELS}})

    assert (found.job_status, found.deployment_status, found.cluster_name) == ("", "", None)


def test_an_object_without_our_labels_is_none_of_ours():
    strange = {"metadata": {"name": "a", "uid": "j"}}

    assert objects.ray_job_of(strange) is None
    assert objects.ray_cluster_of(strange) is None
    assert objects.pod_of(strange) is None
    assert objects.run_uid_of(strange) is None


def test_a_ray_cluster_is_read():
    found = objects.ray_cluster_of(
        {
            "metadata": {"name": "c", "labels": LABELS},
            "spec": {"workerGroupSpecs": [{"groupName": "workers", "replicas": 3, "maxReplicas": 4}]},
            "status": {"state": "ready", "readyWorkerReplicas": 2, "head": {"serviceName": "c-head-svc"}},
        }
    )

    assert (found.replicas, found.max_replicas, found.ready_workers) == (3, 4, 2)
    assert (found.state, found.head_service) == ("ready", "c-head-svc")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        pytest.param({"phase": "Running"}, "", id="well"),
        pytest.param(
            {"containerStatuses": [container(state={"waiting": {"reason": "ContainerCreating"}})]},
            "",
            id="begins",
        ),
        pytest.param(
            {"containerStatuses": [container(state={"waiting": {"reason": "ImagePullBackOff"}})]},
            "ImagePullBackOff",
            id="no image",
        ),
        pytest.param(
            {"initContainerStatuses": [container("wait", state={"waiting": {"reason": "ErrImagePull"}})]},
            "ErrImagePull",
            id="no image of an init container",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    container("sidecar", state={"waiting": {"reason": "CrashLoopBackOff"}}),
                    container(
                        state={"running": {}},
                        lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}},
                    ),
                ]
            },
            "OOMKilled",
            id="out of memory, running again",
        ),
        pytest.param({"phase": "Failed", "reason": "Evicted"}, "Evicted", id="evicted"),
        pytest.param({"phase": "Failed", "reason": "Terminated"}, "Terminated", id="spot node shut down"),
        pytest.param(
            {
                "conditions": [
                    {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
                ]
            },
            "Preempted",
            id="disrupted",
        ),
        pytest.param(
            {"containerStatuses": [container(state={"terminated": {"reason": "Error", "exitCode": 1}})]},
            "Error",
            id="ended",
        ),
    ],
)
def test_the_most_telling_reason_of_a_pod_is_given(status, reason):
    assert objects.pod_of(pod(**status)).reason == reason


def test_a_pod_that_finds_no_node_gives_the_schedulers_sentence():
    scheduled = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes have a GPU",
    }
    found = objects.pod_of(pod("head", phase="Pending", conditions=[scheduled]))

    assert found.unschedulable == "0/3 nodes have a GPU"
    assert found.role is PodRole.HEAD
    assert not found.is_ready


@pytest.mark.parametrize(
    ("status", "since"), [("False", "2030-01-31T18:00:00Z"), ("True", None), ("Unknown", None)]
)
def test_since_when_a_pod_is_not_ready_is_given(status, since):
    ready = {"type": "Ready", "status": status, "lastTransitionTime": "2030-01-31T18:00:00Z"}

    assert objects.pod_of(pod("head", conditions=[ready])).unready_since == parsed_or_none(since)


def test_the_exit_code_of_the_last_end_is_given():
    ended = container(state={"running": {}}, lastState={"terminated": {"reason": "Error", "exitCode": 7}})

    assert objects.pod_of(pod(containerStatuses=[ended])).exit_code == 7


@pytest.mark.parametrize("text", [None, "", "yesterday", 5])
def test_a_time_that_cannot_be_read_is_none(text):
    assert parsed_or_none(text) is None


@pytest.mark.parametrize(
    ("labels", "capacity", "machine"),
    [
        pytest.param({}, {}, Machine(None), id="nothing said"),
        pytest.param(
            {
                "node.kubernetes.io/instance-type": "g2-standard-24",
                "cloud.google.com/gke-spot": "true",
                "cloud.google.com/gke-accelerator": "nvidia-l4",
                "topology.kubernetes.io/region": "us-central1",
            },
            {"nvidia.com/gpu": "2"},
            Machine("g2-standard-24", "Spot", "nvidia-l4", 2, "us-central1"),
            id="spot",
        ),
        pytest.param(
            {"node.kubernetes.io/instance-type": "a2-highgpu-1g", "cloud.google.com/gke-flex-start": "true"},
            {"nvidia.com/gpu": "odd"},
            Machine("a2-highgpu-1g", "FlexStart"),
            id="flex-start",
        ),
    ],
)
def test_a_node_says_what_it_is(labels, capacity, machine):
    assert objects.machine_of({"metadata": {"labels": labels}, "status": {"capacity": capacity}}) == machine


def test_a_pod_has_its_node_since_it_was_scheduled_and_holds_the_gpus_of_its_containers():
    labels = {"autolfads.dev/attempt": "1", "ray.io/node-type": "worker"}
    thing = {
        "metadata": {"name": "w", "labels": labels, "creationTimestamp": "2030-01-01T00:00:00Z"},
        "spec": {
            "nodeName": "n1",
            "containers": [{"resources": {"limits": {"nvidia.com/gpu": "2"}}}, {"resources": {}}],
        },
        "status": {
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2030-01-01T00:05:00Z"}
            ]
        },
    }
    pod = objects.pod_of(thing)
    assert (pod.gpus, pod.placed_at.minute) == (2, 5)

    thing["status"] = {}
    assert objects.pod_of(thing).placed_at.minute == 0
