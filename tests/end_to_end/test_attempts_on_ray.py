"""A driver as in Kubernetes: a head without room for work, workers that come later, a pause, another attempt.

Real Ray started as KubeRay starts it, with tokens, and real TensorFlow. A plain run is the oracle.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from autolfads_spec.attempt import AttemptEnd, Wish
from autolfads_spec.manifest import Lease, Manifest

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1200)]

RAY = str(Path(sys.executable).parent / "ray")
# Two nodes on one machine: every port is one that is free.
PORTS = ("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0")
# All that may differ, see test_kills.py.
MEASURED = ("autolfads.log", "timing.csv", "manifest.json", "lease.json", "generations/", "checkpoints/")
OF_OPERATOR = ("wish.json", "attempts/", ".autolfads")


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Cluster:
    """Ray on this machine, node by node."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.address = f"127.0.0.1:{free_port()}"
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "6" * 64,
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self.nodes = []
        port = self.address.rpartition(":")[2]
        head = ("--head", f"--port={port}", f"--ray-client-server-port={free_port()}")
        self._start(*head, "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={folder}")

    def add_worker(self, cpus):
        self._start(f"--address={self.address}", f"--num-cpus={cpus}")

    def stop(self):
        for node in reversed(self.nodes):
            node.send_signal(signal.SIGTERM)
        for node in reversed(self.nodes):
            try:
                node.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(node.pid, signal.SIGKILL)
                node.wait()

    def _start(self, *options):
        memory = "--object-store-memory=100000000"
        with (self.folder.parent / f"{self.folder.name}-{len(self.nodes)}.log").open("w") as said:
            self.nodes.append(
                subprocess.Popen(
                    [RAY, "start", "--block", "--node-ip-address=127.0.0.1", memory, *PORTS, *options],
                    env=self.environment,
                    stdout=said,
                    stderr=said,
                    start_new_session=True,
                )
            )


@pytest.fixture(scope="module")
def cluster():
    folder = tempfile.mkdtemp(prefix="alt-", dir="/tmp")  # a short name: sockets lie in it
    cluster = Cluster(folder)
    yield cluster
    cluster.stop()
    for path in Path("/tmp").glob(f"{Path(folder).name}*"):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


class Attempts:
    """One run in a folder, driven attempt after attempt as the operator does it."""

    def __init__(self, folder, cluster):
        self.folder, self.out = folder, folder / "out"
        self.environment = {**cluster.environment, "RAY_ADDRESS": cluster.address}

    def start(self, attempt):
        """As the RayJob's entrypoint, after the operator has written the lease."""
        self.out.mkdir(exist_ok=True)
        lease = self.out / "lease.json"
        before = Lease.model_validate_json(lease.read_bytes()) if lease.exists() else Lease()
        lease.write_bytes(before.model_copy(update={"attempt": attempt, "owner": "uid"}).to_bytes())
        with self._said(attempt).open("w") as said:
            options = ("--attempt", str(attempt), "--log-format", "json")
            return subprocess.Popen(
                [sys.executable, "-m", "lfads_worker", "run", "run.yaml", *options],
                cwd=self.folder,
                env=self.environment,
                stdout=said,
                stderr=said,
            )

    def wait_for(self, attempt, process, words):
        """Until a line of the log says something."""
        deadline = time.monotonic() + 300
        while words not in self._said(attempt).read_text():
            assert process.poll() is None, self._said(attempt).read_text()
            assert time.monotonic() < deadline, self._said(attempt).read_text()
            time.sleep(0.05)

    def finish(self, attempt, process):
        """The lines that the driver has logged, and why it ended."""
        try:
            status = process.wait(600)
        finally:
            process.kill()
        said = self._said(attempt).read_text()
        assert status == 0, said
        end = AttemptEnd.model_validate_json((self.out / f"attempts/{attempt:02d}/end.json").read_bytes())
        return [json.loads(line) for line in said.splitlines()], end

    def manifest(self):
        return Manifest.model_validate_json((self.out / "manifest.json").read_bytes())

    def _said(self, attempt):
        return self.folder / f"attempt-{attempt}.log"


def results_of(out):
    names = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()]
    return {
        name: (out / name).read_bytes() for name in names if not name.startswith((*MEASURED, *OF_OPERATOR))
    }


@pytest.fixture(scope="module")
def folders(tmp_path_factory, autolfads, example):
    """Two folders with the same run: one for a plain run, which is done, and one for the cluster."""
    plain, other = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("cluster")
    autolfads(
        *("synthesize", "lorenz", "data.h5", "--neurons", 8, "--conditions", 6),
        *("--trials-per-condition", 4, "--bins", 12),
        cwd=plain,
    )
    widths = {"icEncoderUnits": 8, "ciEncoderUnits": 8, "controllerUnits": 6, "generatorUnits": 10}
    run = example(
        "lorenz/run.yaml",
        data={"uri": "data.h5"},
        output={"uri": "out", "posteriorSamples": 2},
        model={**widths, "factors": 4},
        training={"batchSize": 10, "klRamp": {"epochs": 2}, "l2Ramp": {"epochs": 2}},
        population={"size": 4, "generations": 3, "epochsPerGeneration": 2},
        compute={"accelerator": {"type": "None"}, "workers": {"desired": 2, "min": 1}},
    )
    for folder in (plain, other):
        (folder / "run.yaml").write_text(yaml.safe_dump(run))
    shutil.copy(plain / "data.h5", other)
    autolfads("run", "run.yaml", "--workers", 0, cwd=plain)
    return plain, other


def test_workers_that_come_late_and_a_pause_change_no_byte(folders, cluster):
    plain, folder = folders
    attempts = Attempts(folder, cluster)

    process = attempts.start(1)
    attempts.wait_for(1, process, "training on 2 Ray workers on the cluster at")
    time.sleep(3)
    assert process.poll() is None  # the head has no room for work: it waits
    assert (attempts.manifest().attempt, attempts.manifest().generation) == (1, None)
    cluster.add_worker(cpus=1)
    attempts.wait_for(1, process, "a worker has come")
    (attempts.out / "wish.json").write_bytes(Wish(attempt=1, pause=True, why="suspended").to_bytes())
    lines, end = attempts.finish(1, process)

    assert (end.end_class, end.generation) == ("paused", 0)
    assert end.message in lines[-1]["message"]
    assert {line["attempt"] for line in lines} == {1}
    assert not (attempts.out / "results.json").exists()

    lines, end = attempts.finish(2, attempts.start(2))

    assert (end.end_class, end.generation) == ("ok", 2)
    assert any("going on after generation 0" in line["message"] for line in lines)
    assert attempts.manifest().attempt == 2
    expected, found = results_of(plain / "out"), results_of(attempts.out)
    assert found.keys() == expected.keys()
    assert {"rates.h5", "best/weights.npz", "population.csv", "results.json"} <= found.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
