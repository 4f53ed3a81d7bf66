"""A small run that really trains in the test cluster, on a real node, and the same run outside of it.

    lorenz.apply(**blocks)       kubectl apply, by the user; blocks of the spec are merged in
    lorenz.watch()               a `kubectl get -w` until .stop() or the end: .rows of (phase, generations)
    lorenz.outside()             `autolfads run` on the YAML as it was or would be applied
    lorenz.results()             every file in its output folder, by name
    lorenz.operator              the process of our operator, started
    lorenz.settings              of that process, for another one beside it
    lorenz.drivers()             attempt and driver that committed each generation
    lorenz.machines()            RayJob, pods, restarts and driver: the same for as long as nothing happens
    lorenz.differing(results)    names of results that are not as expected
    undisturbed(**population)    results of the run on this machine, in one process

Beyond that it is a `kube.runs.Run`. Four members in two cohorts, and generations of an instant; no report,
which takes longer than all of them, unless a test asks for it.
A test that asks for `storage` too has it go through that proxy, which can make generations as long as it
wants: machines that wait cost nothing.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import session
from autolfads_spec.manifest import GenerationRecord, Manifest
from autolfads_spec.store import open_store
from compiled import flags
from kube.nodes.images import WORKER
from kube.nodes.node import start_node
from kube.runs import Run

AUTOLFADS = str(Path(sys.executable).parent / "autolfads")
SPEC = {
    "model": {
        "preset": "Small",
        "icEncoderUnits": 8,
        "ciEncoderUnits": 8,
        "controllerUnits": 6,
        "generatorUnits": 10,
        "factors": 4,
    },
    # No ramps, so that all generations are of the same length and one program is compiled.
    "training": {"batchSize": 10, "klRamp": {"epochs": 0}, "l2Ramp": {"epochs": 0}},
    "population": {"size": 4, "generations": 4, "epochsPerGeneration": 5, "seed": 1},
    "compute": {
        "accelerator": {"type": "None"},
        # Every worker's pod costs six seconds of the processor for Ray, and twelve for TensorFlow.
        "workers": {"desired": 1},
        "membersPerCohort": 2,
        "head": {"cpu": "100m", "memory": "2Gi"},
    },
}
# Of runs to which faults happen, one after the other: they last for as long as their bucket is slow.
LASTING = {"generations": 60, "stopping": {"patience": 60}}
# Where it matters that there is another one.
TWO_WORKERS = {"workers": {"desired": 2}}
# What a run is for, none of it measured, none of it with the run's name in it.
RESULTS = ("best/weights.npz", "population.csv", "hyperparameters.csv", "decisions.csv")
ROW = re.compile(r"^\S+ +([A-Z][a-z]+) +(\d+/\d+) ")


def document(metadata, data, output, /, **blocks):
    """The YAML of a run, with blocks of the spec merged in."""
    results = {"uri": output, "posteriorSamples": 2, "report": False}
    spec = {"data": {"uri": data}, "output": results, **SPEC}
    spec |= {name: {**spec.get(name, {}), **block} for name, block in blocks.items()}
    kind = {"apiVersion": "autolfads.dev/v1alpha1", "kind": "AutoLFADSRun"}
    return yaml.safe_dump({**kind, "metadata": metadata, "spec": spec}, sort_keys=False)


def autolfads(*words):
    """The command line on this machine; nothing of Kubernetes in it."""
    done = subprocess.run([AUTOLFADS, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def local_run(folder, recording, **blocks):
    """The run on this machine, in one process; its results are in `results` in the folder."""
    path = folder / "run.yaml"
    path.write_text(document({"name": "lorenz"}, str(recording), str(folder / "results"), **blocks))
    autolfads("run", path, "--workers", "0")


def results_in(output):
    """Every file in a folder, by name."""
    files = [found for found in output.rglob("*") if found.is_file()]
    return {found.relative_to(output).as_posix(): found.read_bytes() for found in files}


class Lorenz(Run):
    """The run, its YAML, and who looks at it."""

    def __init__(self, cluster, namespace, bucket, folder, operator, settings):
        super().__init__(cluster, namespace, bucket, name="lorenz")
        self.folder, self.operator, self.settings = folder, operator, settings
        self.watches = []
        self.data = f"{bucket}/lorenz.h5"
        self.yaml = folder / "run.yaml"
        self.write()

    def write(self, **blocks):
        """run.yaml, with blocks of the spec merged in."""
        metadata = {"name": self.name, "namespace": self.namespace}
        self.yaml.write_text(document(metadata, self.data, self.address, **blocks))

    def apply(self, **blocks):
        if blocks:
            self.write(**blocks)
        self.cluster.kubectl("apply", "-f", str(self.yaml), actor="user")
        return self

    def watch(self):
        self.watches.append(Watch(self))
        return self.watches[-1]

    def outside(self):
        autolfads("run", self.yaml, "--workers", "0")

    def results(self):
        return {name: self.store.read(name).content for name in self.store.names()}

    def differing(self, expected):
        """Names of the results that are not as expected."""
        return [name for name in RESULTS if self.store.read(name).content != expected[name]]

    def pods(self, role="worker"):
        """Names of its pods of one role that are not being deleted: worker or head."""
        found = self._pods(f"ray.io/node-type={role}")
        return [pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def machines(self):
        """RayJob and pods by uid, with how often a container was restarted; and which driver drives."""
        jobs = {job["metadata"]["uid"]: name for name, job in self.ray_jobs().items()}
        restarts = {
            pod["metadata"]["uid"]: [one["restartCount"] for one in pod["status"]["containerStatuses"]]
            for pod in self._pods("ray.io/node-type")
        }
        manifest = self.manifest()
        return jobs, restarts, (manifest.attempt, manifest.driver_epoch)

    def drivers(self):
        """Attempt and driver of each committed generation."""
        records = [self.store.read(entry.record.name).content for entry in self.manifest().generations]
        return [(one.attempt, one.driver_epoch) for one in map(GenerationRecord.model_validate_json, records)]

    def manifest(self):
        return Manifest.model_validate_json(self.store.read("manifest.json").content)

    def _pods(self, label):
        chosen = ("-l", f"autolfads.dev/run={self.name},{label}")
        found = self.cluster.kubectl("get", "pods", "-n", self.namespace, *chosen, "-o", "json").stdout
        return json.loads(found)["items"]

    @property
    def generations(self):
        """Generations that are committed, as the status says."""
        return self.status.get("progress", {}).get("generation", 0)


class Watch:
    """`kubectl get autolfadsruns -w`, as the user sees it."""

    def __init__(self, run):
        self._seen = run.folder / "seen.txt"
        words = ("get", "autolfadsruns", run.name, "-n", run.namespace, "-w")
        kubeconfig = f"--kubeconfig={run.cluster.kubeconfig('user')}"
        with self._seen.open("w") as seen:
            program = str(run.cluster.binary("kubectl"))
            self._process = subprocess.Popen([program, kubeconfig, *words], stdout=seen, stderr=seen)

    @property
    def text(self):
        return self._seen.read_text()

    @property
    def rows(self):
        """(phase, generations) of each row that has them, without repetitions."""
        found = [match.groups() for match in map(ROW.match, self.text.splitlines()) if match]
        return [row for before, row in zip([None, *found], found, strict=False) if row != before]

    def stop(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def worker_node(_running):
    """The only node there is: pods of a run cannot land on one that KWOK plays."""
    _running.start_missing()
    _running.kubectl("delete", "nodes", "--all")
    node = start_node(_running, "trains")
    yield node
    node.close()


@pytest.fixture(scope="session")
def recording():
    """A file of synthesised spikes."""
    shape = ("--neurons", "8", "--conditions", "6", "--trials-per-condition", "4", "--bins", "12")

    def make(folder):
        autolfads("synthesize", "lorenz", folder / "lorenz.h5", *shape)

    return session.made_once("recording", make) / "lorenz.h5"


@pytest.fixture(scope="session")
def undisturbed(recording):
    """`undisturbed(generations=8)`: results of the run on this machine, in one process, without any fault."""

    def results(**population):
        def make(folder):
            local_run(folder, recording, population=population)

        words = re.sub(r"\W+", "-", json.dumps(population))
        return results_in(session.made_once(f"undisturbed{words}", make) / "results")

    return results


@pytest.fixture
def storage_address(request, storage_emulator):
    """Where Cloud Storage is taken to be."""
    is_seen = "storage" in request.fixturenames
    return request.getfixturevalue("storage").address if is_seen else storage_emulator


@pytest.fixture
def lorenz_settings(worker_node, storage_address):
    """What an operator of runs that really train is told."""
    port = storage_address.rpartition(":")[2]
    variables = {
        "STORAGE_EMULATOR_HOST": f"http://{worker_node.loopback}:{port}",
        "TF_XLA_FLAGS": flags(worker_node.shared),
    }
    return {
        "WORKER_IMAGE": WORKER,
        "WORKER_ENV": json.dumps(variables),
        "WORKER_CPU": "100m",
        "WORKER_MEMORY": "1536Mi",
        "STATUS_INTERVAL_SECONDS": "0.2",
    }


@pytest.fixture
def lorenz_operator(bucket, start, lorenz_settings):
    """The operator of the run: here a process; whoever wants another kind has a fixture of this name."""
    return start(**lorenz_settings)


@pytest.fixture
def lorenz(cluster, namespace, bucket, recording, lorenz_operator, lorenz_settings, tmp_path):
    """A run that is not applied yet, its recording in the bucket, an operator that waits for it."""
    open_store(bucket).write_file("lorenz.h5", recording)
    operator, settings = lorenz_operator, lorenz_settings
    run = Lorenz(cluster, namespace, bucket, tmp_path, operator, settings)
    yield run
    for watch in run.watches:
        watch.stop()
    for process in (operator, *cluster.processes):
        process.start()
    if run.read():
        run.delete()
    deadline = time.monotonic() + 90
    while run.left() and time.monotonic() < deadline:
        time.sleep(0.5)
