"""A driver as in Kubernetes: a head without room for work, workers that come later, a pause, another attempt.

Real Ray started as KubeRay starts it, with tokens, and real TensorFlow. One process that nobody disturbs is
the oracle.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from autolfads_spec.attempt import AttemptEnd, Wish
from autolfads_spec.manifest import Lease, Manifest
from end_to_end.runs import GENERATIONS, results_of
from ports import free_port

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1200)]

RAY = str(Path(sys.executable).parent / "ray")
# Two nodes on one machine: every port is one that is free.
PORTS = ("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0")
OF_OPERATOR = ("wish.json", "attempts/")


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


def test_workers_that_come_late_and_a_pause_change_no_byte(small_run, undisturbed, tmp_path, cluster):
    attempts = Attempts(small_run(tmp_path), cluster)

    process = attempts.start(1)
    attempts.wait_for(1, process, "Ray workers on the cluster at")
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

    assert (end.end_class, end.generation) == ("ok", GENERATIONS - 1)
    assert any("going on after generation 0" in line["message"] for line in lines)
    assert attempts.manifest().attempt == 2
    found = {
        name: content
        for name, content in results_of(attempts.out).items()
        if not name.startswith(OF_OPERATOR)
    }
    assert found.keys() == undisturbed.keys()
    assert [name for name, content in undisturbed.items() if found[name] != content] == []
