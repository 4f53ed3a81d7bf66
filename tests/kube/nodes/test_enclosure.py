"""A node's machine leaves nothing behind, however it ends."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kube.cluster import wait_until
from kube.nodes import programs
from kube.nodes.enclosure import LOOPBACK, Enclosure, sweep

pytestmark = pytest.mark.kube
MAKE_ONE_AND_DIE = """
import os, sys
from pathlib import Path
from kube.nodes.enclosure import Enclosure
machine = Enclosure(Path(sys.argv[1]), Path(sys.argv[2]))
cable = Path("/sys/class/net", machine._cable, "ifindex").read_text()
print(machine.cgroup, machine.start("program", "sleep", "1000"), cable, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture(scope="module", autouse=True)
def _programs():
    programs.need_programs()


def cables():
    """Numbers of this machine's cables, which are never used again; names are, by nodes of other tests."""
    found = []
    for path in Path("/sys/class/net").glob("alf*/ifindex"):
        with contextlib.suppress(OSError):  # it has just been taken away
            found.append(path.read_text().strip())
    return found


def control_groups(name):
    return list(Path("/sys/fs/cgroup").glob(f"*/{name}"))


def test_inside_has_processes_and_a_network_of_its_own(tmp_path):
    machine = Enclosure(tmp_path / "nodes", tmp_path / "logs")

    processes = machine.run("sh", "-c", "ls -d /proc/[0-9]*").split()
    interfaces = machine.run("ls", "/sys/class/net").split()
    machine.close()

    assert len(processes) <= 3
    assert os.listdir("/sys/class/net") != interfaces
    assert list((tmp_path / "nodes").iterdir()) == []


def test_maker_killed_leaves_no_process_and_sweep_takes_the_rest(tmp_path):
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    nodes = tmp_path / "nodes"

    done = subprocess.run(
        [sys.executable, "-c", MAKE_ONE_AND_DIE, str(nodes), str(tmp_path / "logs")],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == -signal.SIGKILL, done.stderr
    name, pid, cable = done.stdout.split()
    sweep(nodes)
    assert not Path("/proc", pid).exists()
    # The kernel takes a network apart some time after its last process.
    wait_until(lambda: cable not in cables(), seconds=10)
    assert control_groups(name) == []
    assert list(nodes.iterdir()) == []


def test_running_machine_is_not_swept(tmp_path):
    machine = Enclosure(tmp_path / "nodes", tmp_path / "logs")

    sweep(tmp_path / "nodes")

    assert machine.is_alive()
    assert machine.run("cat", "/proc/sys/vm/overcommit_memory").strip() == "1"
    machine.close()


def test_two_machines_reach_each_other_and_this_machines_loopback(tmp_path):
    one, two = (Enclosure(tmp_path / "nodes", tmp_path / f"logs-{n}") for n in (1, 2))
    serve = "import socket; s = socket.create_server(('{}', {})); print(s.accept()[0].send(b'x'))"
    ask = "import socket; print(socket.create_connection(('{}', {}), timeout=10).recv(9))"
    python = sys.executable

    two.start("server", python, "-c", serve.format(two.address, 7001))
    here = subprocess.Popen([python, "-c", serve.format("127.0.0.1", 7002)])
    retry = 'for n in 1 2 3 4 5 6 7 8 9; do {} -c "{}" 2>/dev/null && exit 0; sleep 1; done; exit 1'
    answers = [
        one.run("sh", "-c", retry.format(python, ask.format(*where)))
        for where in ((two.address, 7001), (LOOPBACK, 7002))
    ]
    here.wait(10)
    one.close()
    two.close()

    assert answers == ["b'x'\n", "b'x'\n"]
