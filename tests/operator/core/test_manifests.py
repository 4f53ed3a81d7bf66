"""What the operator makes, whole, against files that were read through; and what each choice changes."""

from pathlib import Path

import pytest
import yaml

from autolfads_operator.manifests import configmap, names, pods, rayjob
from autolfads_operator.settings import OperatorSettings
from autolfads_spec import load_run

EXPECTED = Path(__file__).with_name("expected")


@pytest.fixture
def manifest(make_world):
    """The RayJob of the first attempt of a run with these compute fields."""

    def make(**compute):
        world = make_world(compute=compute)
        resource = world.observed().custom_resource
        return rayjob.ray_job(resource, world.run, 1, world.terms, 86400 + 900)

    return make


def worker_of(job):
    return job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]


def head_of(job):
    return job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]


def test_the_whole_rayjob_is_the_reviewed_one(manifest):
    found = manifest()
    hash_of_spec = found["metadata"]["annotations"].pop("autolfads.dev/spec-hash")

    assert len(hash_of_spec) == 16
    assert found == yaml.safe_load((EXPECTED / "rayjob.yaml").read_text())


@pytest.mark.parametrize(
    ("compute", "selector", "tolerated", "affinity"),
    [
        pytest.param({}, {pods.ACCELERATOR: "nvidia-l4"}, {pods.GPU}, "required NotIn", id="on demand"),
        pytest.param(
            {"provisioning": "Spot"},
            {pods.ACCELERATOR: "nvidia-l4", pods.SPOT: "true"},
            {pods.GPU, pods.SPOT},
            None,
            id="spot",
        ),
        pytest.param(
            {"provisioning": "SpotThenOnDemand"},
            {pods.ACCELERATOR: "nvidia-l4"},
            {pods.GPU, pods.SPOT},
            "preferred In",
            id="rather spot",
        ),
        pytest.param(
            {"provisioning": "FlexStart"},
            {pods.ACCELERATOR: "nvidia-l4", pods.FLEX_START: "true"},
            {pods.GPU},
            None,
            id="flex start",
        ),
        pytest.param(
            {"nodePool": {"name": "gpus"}},
            {pods.ACCELERATOR: "nvidia-l4", pods.NODE_POOL: "gpus"},
            {pods.GPU},
            "required NotIn",
            id="named pool",
        ),
        pytest.param(
            {"accelerator": {"type": "new-chip", "machineType": "x9-standard"}},
            {pods.ACCELERATOR: "new-chip", pods.MACHINE_TYPE: "x9-standard"},
            {pods.GPU},
            "required NotIn",
            id="machine type",
        ),
        pytest.param({"accelerator": {"type": "None"}}, {}, set(), "required NotIn", id="CPU"),
    ],
)
def test_workers_run_where_the_spec_says(manifest, compute, selector, tolerated, affinity):
    worker = worker_of(manifest(**compute))

    assert worker.get("nodeSelector", {}) == selector
    assert {toleration["key"] for toleration in worker.get("tolerations", ())} == tolerated
    rules = worker.get("affinity", {}).get("nodeAffinity", {})
    found = None
    if "requiredDuringSchedulingIgnoredDuringExecution" in rules:
        terms = rules["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        found = f"required {terms[0]['matchExpressions'][0]['operator']}"
    elif rules:
        preference = rules["preferredDuringSchedulingIgnoredDuringExecution"][0]["preference"]
        found = f"preferred {preference['matchExpressions'][0]['operator']}"
    assert found == affinity


def test_workers_without_an_accelerator_ask_for_no_gpu(manifest):
    job = manifest(accelerator={"type": "None"})

    assert worker_of(job)["containers"][0]["resources"] == {"requests": {"cpu": "4", "memory": "16Gi"}}


def test_a_worker_with_two_gpus_takes_two_cohorts_and_asks_for_twice_as_much(manifest):
    job = manifest(accelerator={"type": "nvidia-l4", "countPerWorker": 2})

    assert job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["rayStartParams"]["num-cpus"] == "2"
    assert worker_of(job)["containers"][0]["resources"] == {
        "requests": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "2"},
        "limits": {"nvidia.com/gpu": "2"},
    }


@pytest.mark.parametrize(
    ("quantity", "count", "product"),
    [
        ("500m", 3, "1500m"),
        ("8Gi", 2, "16Gi"),
        ("1.5", 2, "3.0"),
        ("2", 1, "2"),
        ("1000000Mi", 8, "8000000Mi"),
    ],
)
def test_quantities_multiply_exactly(quantity, count, product):
    assert pods.times(quantity, count) == product


def test_every_pod_is_fit_for_the_restricted_security_standard(manifest):
    job = manifest()

    for pod in (head_of(job), worker_of(job)):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
        written = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert {"/tmp", "/dev/shm"} <= written


def test_a_run_with_an_image_and_a_service_account_gets_them(manifest):
    job = manifest(image="registry.example/mine@sha256:0", serviceAccountName="trainer")

    for pod in (head_of(job), worker_of(job)):
        assert pod["containers"][0]["image"] == "registry.example/mine@sha256:0"
        assert pod["serviceAccountName"] == "trainer"


def test_a_run_that_names_no_service_account_gets_the_one_of_the_installation(make_world):
    world = make_world()
    resource, terms = world.observed().custom_resource, OperatorSettings(worker_service_account="lab")

    found = [rayjob.ray_job(resource, world.run, 1, chosen, 900) for chosen in (world.terms, terms)]

    assert "serviceAccountName" not in worker_of(found[0])
    assert [pod["serviceAccountName"] for pod in (head_of(found[1]), worker_of(found[1]))] == ["lab", "lab"]


def test_kueue_sees_all_that_it_admits_and_is_left_its_suspend_field(manifest):
    job = manifest(queueName="lab-queue", workers={"desired": 3})

    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "lab-queue"
    assert job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replicas"] == 3
    assert "suspend" not in job["spec"]


def test_pausing_does_not_change_the_hash_of_the_spec_and_anything_else_does(make_run):
    run = make_run()

    assert names.spec_hash(run.spec) == names.spec_hash(make_run(suspend=True).spec)
    assert names.spec_hash(run.spec) != names.spec_hash(make_run(compute={"provisioning": "Spot"}).spec)


def test_the_driver_gets_the_run_without_what_is_kubernetes_business(make_world):
    world = make_world(resume={"policy": "Never"}, suspend=True)
    resource = world.observed().custom_resource

    found = configmap.config_map(resource, world.run, 2)

    assert found["immutable"] is True
    assert found["metadata"]["name"] == "reach-a02"
    assert found["metadata"]["annotations"] == {names.SPEC_HASH: names.spec_hash(world.run.spec)}
    run = load_run(found["data"]["run.yaml"] + "\n")
    assert run.spec.resume.policy == "IfPresent"  # the operator has kept it already
    assert run.spec.suspend is False
    assert run.spec.data == world.run.spec.data
    assert run.spec.population == world.run.spec.population
