"""kubectl apply, and a cluster trains: everything real, from the recording in the bucket to the deletion.

The API server, KubeRay, the kubelet, Ray, TensorFlow and the storage client, each a process with rights of
its own; our operator as the chart installs it, in the images that users build; the run in a namespace where
pods are restricted, looked at from inside and outside. The oracle is `autolfads run`
on the same YAML, outside of any cluster.
"""

import base64
import json
import math
import re
import urllib.error
import urllib.request

import h5py
import pytest

from autolfads_operator.manifests.names import CONFIG_FOLDER
from autolfads_spec.attempt import AttemptEnd
from kube.deployed import Deployed
from kube.lorenz import TWO_WORKERS
from kube.nodes.images import OPERATOR, WORKER
from kube.storage import SOCKETS

pytestmark = [pytest.mark.kube, pytest.mark.gcs, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]

# All that may differ between two runs of the same YAML: times, places, what is needed to go on, and what
# the operator and a driver tell each other. docs/interruptions.md lists the same.
MEASURED = ("autolfads.log", "timing.csv", "manifest.json", "lease.json", "generations/", "checkpoints/")
OF_OPERATOR = ("wish.json", "cost.json", "attempts/")
# The image has the Python of Debian, and these two tell which Python it was: `versions.python` of the one,
# and the row of versions of the other.
TELL_VERSIONS = ("results.json", "report/report.html")
# What it cost is in a line of its own, and only where somebody counts.
COST = re.compile(rb'<p class="cost">.*?</p>\n')
PYTHON = re.compile(rb'(python"?:? "?)\d+\.\d+\.\d+')

# A generation takes at least so long.
SECONDS = 3
COLUMNS = ["NAME", "PHASE", "GEN", "BEST", "WORKERS", "COST", "AGE"]
# What Kubernetes itself puts into every namespace.
OF_NAMESPACE = {"configmap/kube-root-ca.crt", "serviceaccount/default"}


def comparable(files):
    return {
        name: PYTHON.sub(rb"\1", COST.sub(b"", content)) if name in TELL_VERSIONS else content
        for name, content in files.items()
        if not name.startswith((*MEASURED, *OF_OPERATOR))
    }


def objects_in(cluster, namespace):
    """Everything in a namespace but events, of whatever kind."""
    words = ("api-resources", "--verbs=list", "--namespaced", "-o", "name")
    kinds = [kind for kind in cluster.kubectl(*words).stdout.split() if not kind.startswith("events")]
    return set(cluster.kubectl("get", ",".join(kinds), "-n", namespace, "-o", "name").stdout.split())


def training_on(node):
    return [line for line in node.processes() if re.search("lfads_worker|ray", line)]


@pytest.fixture
def lorenz_operator(cluster, bucket, worker_node, lorenz_settings, eventually):
    """The chart in place of a process; gone without a trace afterwards."""
    variables = json.loads(lorenz_settings["WORKER_ENV"])
    worker = {
        "workerEnv": variables,
        "workerCpu": lorenz_settings["WORKER_CPU"],
        "workerMemory": lorenz_settings["WORKER_MEMORY"],
    }
    deployed = Deployed(cluster, variables["STORAGE_EMULATOR_HOST"], worker)
    deployed.start()
    yield deployed
    deployed.uninstall()
    eventually(lambda: deployed.pods() == [])


@pytest.fixture
def expected(lorenz):
    """What the run gives outside of the cluster; the folder is empty again afterwards."""
    # The pods stay until all that they have printed is looked at.
    lorenz.write(output={"report": True}, ttl={"clusterAfterFinished": "15m"}, compute=TWO_WORKERS)
    lorenz.outside()
    results = lorenz.results()
    for name in results:
        lorenz.store.delete(name)
    return comparable(results)


@pytest.fixture
def restricted(cluster, namespace):
    """The run's namespace, in which the API server takes no pod that could do more than it must."""
    labels = (
        "pod-security.kubernetes.io/enforce=restricted",
        "pod-security.kubernetes.io/enforce-version=latest",
    )
    cluster.kubectl("label", "namespace", namespace, *labels)
    careless = ("run", "careless", "--image=none", "-n", namespace, "--dry-run=server")
    assert 'violates PodSecurity "restricted:latest"' in cluster.kubectl(*careless, check=False).stderr


@SOCKETS
def test_a_run_that_is_applied_trains_in_the_cluster_and_gives_the_same_bytes(
    cluster, restricted, worker_node, storage, lorenz, recording, expected, eventually
):
    storage.pace(SECONDS, almost_still_from=math.inf)  # so that the counter can be seen rising
    assert "accepted: the spec is valid" in lorenz.operator.test()
    watch = lorenz.apply().watch()
    eventually(lambda: lorenz.pods("worker"), seconds=300)
    assert lorenz.manifest().attempt == 1  # the driver has checked the recording: not a worker before
    eventually(lambda: lorenz.condition("DataReady")["status"] == "True")
    eventually(lambda: len(lorenz.pods("worker")) == 2)
    tokens = secrets(lorenz)
    eventually(lambda: any("lfads_worker run" in line for line in training_on(worker_node)))
    check_images(lorenz)
    check_head_has_no_keys(lorenz)
    check_dashboard(lorenz, tokens)
    waiting = ("wait", "alr/lorenz", "-n", lorenz.namespace, "--for=condition=Complete", "--timeout=900s")
    cluster.kubectl(*waiting, actor="user")
    eventually(lambda: watch.rows[-1] == ("Succeeded", "4/4"))
    watch.stop()
    print(watch.text)

    check_what_the_user_saw(watch.rows)
    check_columns(cluster.kubectl("get", "autolfadsruns", "-n", lorenz.namespace, actor="user").stdout)
    check_who_trained(lorenz)
    assert lorenz.operator.refused() == []
    check_told(lorenz, tokens, recording)
    found = lorenz.results()
    same = comparable(found)
    assert same.keys() == expected.keys()
    assert {"rates.h5", "best/weights.npz", "population.csv", "results.json"} <= same.keys()
    assert [name for name in expected if same[name] != expected[name]] == []

    cluster.kubectl("delete", "alr", "lorenz", "-n", lorenz.namespace, "--timeout=120s", actor="user")

    assert objects_in(cluster, lorenz.namespace) == OF_NAMESPACE
    eventually(lambda: training_on(worker_node) == [])
    left = lorenz.results()
    assert left.keys() == found.keys()
    changed = {name for name in found if left[name] != found[name]}
    assert changed <= {"cost.json"}  # which is closed when the last machine is gone


def check_what_the_user_saw(rows):
    """Each phase after the one before it, and the counter rising while the population trained."""
    phases = [phase for phase, _ in rows]
    known = ["Pending", "Starting", "Validating", "Provisioning", "Running", "Finalizing", "Succeeded"]
    assert set(phases) <= set(known)
    assert phases == sorted(phases, key=known.index)
    assert {"Starting", "Provisioning", "Running", "Succeeded"} <= set(phases)
    counts = [int(generations.removesuffix("/4")) for _, generations in rows]
    assert counts == sorted(counts)
    assert len({generations for phase, generations in rows if phase == "Running"}) >= 3


def check_images(lorenz):
    """Head, workers and operator run what users build."""
    (container,) = [status for pod in lorenz.operator.pods() for status in pod["status"]["containerStatuses"]]
    assert (container["image"], container["restartCount"]) == (OPERATOR, 0)
    words = ("get", "pods", "-n", lorenz.namespace, "-o", "jsonpath={.items[*].spec.containers[*].image}")
    assert set(lorenz.cluster.kubectl(*words).stdout.split()) == {WORKER}


def secrets(lorenz):
    """What KubeRay makes for each cluster: Ray's token."""
    words = ("get", "secrets", "-n", lorenz.namespace, "-o", "json")
    found = json.loads(lorenz.cluster.kubectl(*words).stdout)["items"]
    return {base64.b64decode(value).decode() for secret in found for value in secret["data"].values()}


# What a pod has to show for itself: its image, its mounts, its variables.
LOOK = r"""
test ! -e /var/run/secrets/kubernetes.io && echo no token of Kubernetes
key='PRIVATE KEY-----|"(private_key|client_secret|refresh_token)"'
find / -xdev -type f -regex '.*\.\(json\|pem\|key\)' -exec grep -lE -e "$key" {} + 2>/dev/null
grep -rlIE -e "$key" /tmp CONFIG 2>/dev/null
find / -xdev -name '*.p12' 2>/dev/null
env | sed 's/=.*//; s/^/variable: /'
""".replace("CONFIG", CONFIG_FOLDER)


def check_head_has_no_keys(lorenz):
    """Whoever gets into a pod finds nothing with which to be somebody in Kubernetes or in Google Cloud."""
    (head,) = lorenz.pods("head")
    words = ("exec", head, "-n", lorenz.namespace, "--", "bash", "-c", LOOK)
    found = lorenz.cluster.kubectl(*words).stdout.splitlines()
    variables = {line.removeprefix("variable: ") for line in found if line.startswith("variable: ")}
    assert "STORAGE_EMULATOR_HOST" in variables  # it was looked at
    assert [name for name in variables if "GOOGLE" in name or "GCLOUD" in name] == []
    assert [line for line in found if not line.startswith("variable: ")] == ["no token of Kubernetes"]


def check_dashboard(lorenz, tokens):
    """Who can reach Ray's dashboard, and has no token, cannot start anything there."""
    (head,) = lorenz.pods("head")
    words = ("get", "pod", head, "-n", lorenz.namespace, "-o", "jsonpath={.status.podIP}")
    jobs = f"http://{lorenz.cluster.kubectl(*words).stdout}:8265/api/jobs/"
    assert answered(jobs) in (401, 403)
    assert answered(jobs, "wrong" * 8) in (401, 403)
    assert 200 in {answered(jobs, token) for token in tokens}


def answered(address, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def check_told(lorenz, tokens, recording):
    """No token, no signed address and no spikes stand in a log, a status or an event."""
    told = lorenz.operator.log() + lorenz.store.read("autolfads.log").content.decode()
    told += lorenz.cluster.kubectl("get", "alr,events", "-n", lorenz.namespace, "-o", "json").stdout
    pods = lorenz.pods("head") + lorenz.pods("worker")
    assert len(pods) == 3
    for pod in pods:
        printed = lorenz.cluster.kubectl("logs", pod, "-n", lorenz.namespace, "--all-containers").stdout
        assert printed
        told += printed
    assert tokens
    assert [token for token in tokens if token in told] == []
    assert not re.search(r"Bearer|eyJ[\w-]{20}|X-Goog-Signature", told)
    lists = " | ".join(
        " ".join(re.findall(r"\d+", found)) for found in re.findall(r"[\d,\s\[\]()]{15,}", told)
    )
    assert [row for row in spikes(recording) if row in lists] == []


def spikes(recording):
    """Counts of all neurons in a bin, and of a neuron in all bins, as they would stand in a text."""
    with h5py.File(recording) as file:
        counts = file["spikes"][:].astype(int)
    bins, neurons = (counts.reshape(-1, counts.shape[-1]), counts.swapaxes(1, 2).reshape(-1, counts.shape[1]))
    return {" ".join(map(str, row)) for row in (*bins, *neurons)}


def check_columns(printed):
    header, row = printed.splitlines()
    assert header.split() == COLUMNS
    assert re.fullmatch(r"lorenz +Succeeded +4/4 +0\.\d+ +\d/2 +\d+\.\d\d USD +\d+[ms]\w* *", row)


def check_who_trained(lorenz):
    """Each of two Ray workers has trained cohorts, in pods of their own, after the recording was checked."""
    lines = lorenz.store.read("timing.csv").content.decode().splitlines()
    place = lines[0].split(",").index("worker")
    assert len({line.split(",")[place] for line in lines[1:]}) == 2
    end = AttemptEnd.model_validate_json(lorenz.store.read("attempts/01/end.json").content)
    assert (lorenz.status["attempt"], lorenz.status["failedAttempts"]) == (1, 0)
    assert (end.end_class, end.generation) == ("ok", 3)
