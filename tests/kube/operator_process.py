"""Our operator as a process beside the test cluster, with the rights that it has in a real one."""

import contextlib
import json
import os
import sys
import threading
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest

from kube.process import Process
from ports import free_port

# Quick where the real one has time.
SETTINGS = {
    "POLL_STARTING_SECONDS": "0.5",
    "POLL_RUNNING_SECONDS": "0.5",
    "POLL_TERMINAL_SECONDS": "5",
    "STATUS_INTERVAL_SECONDS": "1",
    "BACKOFF_FIRST_SECONDS": "0.5",
    "BACKOFF_LONGEST_SECONDS": "5",
    "DELETE_WAIT_SECONDS": "2",
    "LEASE_NAMESPACE": "autolfads-system",
    # On a busy machine an API server may not answer for seconds, and whoever loses the Lease ends. Hardly a
    # test waits for it: an operator that is stopped gives it back, and one that is started again takes it.
    "LEASE_SECONDS": "15",
    "LEASE_RENEW_SECONDS": "1",
    "LEASE_GIVE_UP_SECONDS": "12",
    "HEALTH_HOST": "127.0.0.1",
    "WORKER_CPU": "1",
    "WORKER_MEMORY": "1Gi",
    "LOG_LEVEL": "DEBUG",
}


class OperatorProcess(Process):
    """`python -m autolfads_operator`; ready once /readyz says so, or, with `is_standby`, once it lives."""

    def __init__(self, cluster, name: str, is_standby: bool = False, **settings: str) -> None:
        port = free_port()
        kubeconfig = str(cluster.kubeconfig("operator"))
        own = {"IDENTITY": name, "HEALTH_PORT": str(port), "KUBECONFIG": kubeconfig}
        chosen = {**SETTINGS, **own, **settings}
        environment = {f"AUTOLFADS_{key}": str(value) for key, value in chosen.items()}
        if "STORAGE_EMULATOR_HOST" in os.environ:
            environment["STORAGE_EMULATOR_HOST"] = os.environ["STORAGE_EMULATOR_HOST"]
        super().__init__(
            name,
            Path(sys.executable),
            ("-W", "error::ResourceWarning", "-m", "autolfads_operator"),
            cluster.folder / "logs" / f"{name}.log",
            is_ready=lambda: self.ask("/livez" if is_standby else "/readyz")[0] == 200,
            environment=environment,
            port=port,
        )

    def ask(self, page: str) -> tuple[int, str]:
        """Status and text of one of its pages; 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{page}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._status() if not self.is_alive else None

    @property
    def cpu_seconds(self) -> float:
        """Processor time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def kept_running(operator: OperatorProcess, pause_seconds: float = 1):
    """Starts it again whenever it ends, as a Deployment does; yields the exit statuses so far."""
    ended: list[int | None] = []
    is_over = threading.Event()

    def keep() -> None:
        while not is_over.wait(0.1):
            if not operator.is_alive:
                ended.append(operator.exit_status)
                is_over.wait(pause_seconds)
                if not is_over.is_set():
                    operator.launch()

    keeper = threading.Thread(target=keep, name="deployment")
    keeper.start()
    try:
        yield ended
    finally:
        is_over.set()
        keeper.join()


@contextlib.contextmanager
def unable_to_write_status(cluster):
    """Whatever operators do meanwhile, they cannot tell: as if each were killed just before it does."""
    role = json.loads(cluster.kubectl("get", "clusterrole", "autolfads-operator", "-o", "json").stdout)
    role["metadata"] = {"name": role["metadata"]["name"]}
    told = [rule for rule in role["rules"] if rule["resources"] == ["autolfadsruns/status"]]
    cluster.apply({**role, "rules": [rule for rule in role["rules"] if rule not in told]})
    try:
        yield
    finally:
        cluster.apply(role)


@pytest.fixture
def start(cluster):
    """Starts an operator: start(name, **settings); all of them end with the test."""
    started = []

    def begin(name=None, wait=True, **settings):
        process = OperatorProcess(cluster, name or f"operator-{uuid.uuid4().hex[:6]}", **settings)
        started.append(process)
        process.launch()
        if wait:
            process.wait_until_ready()
        return process

    yield begin
    for process in started:
        process.stop()
