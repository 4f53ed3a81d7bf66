"""The machine of a test node: processes, mounts and network of its own, which end together.

A mount, a process and a network namespace around a process 1 that does nothing but reap orphans. Killing that
process ends everything started inside, and with it go the mounts, the addresses and the routes; the kernel
kills it when the process that made it ends in whatever way. So a killed test leaves files and empty control
groups only, and the next `sweep` removes those. Knows nothing of Kubernetes. Needs root.

One cable leads out: a veth pair, `alfN` on this side, with 10.231.N.1 here and 10.231.N.2 in there, and
10.231.N.128/25 routed to it for pods. From inside, `LOOPBACK` is this machine's 127.0.0.1, whatever the port.
"""

import fcntl
import functools
import os
import secrets
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
CGROUPS = Path("/sys/fs/cgroup")
LOOPBACK = "10.231.255.254"
PREFIX = "autolfads-node-"

# The kernel ends a child when the thread that made it ends; this one lasts as long as the interpreter.
_maker = ThreadPoolExecutor(1, thread_name_prefix="maker-of-enclosures")


class EnclosureError(Exception):
    """A namespace, an address or a command inside could not be had; the message says what was said."""


class Enclosure:
    """One machine, up when it is made.

    Args:
      parent: where its folder is made.
      logs: what its programs print, and its /var/log; stays when everything else goes.

    Attributes:
      folder: its files; `lib` is /var/lib in there.
      address: its own address, 10.231.N.2.
      pods: the range routed to it, 10.231.N.128/25.
      cgroup: name of its control group, below the root of every hierarchy.
    """

    def __init__(self, parent: Path, logs: Path) -> None:
        sweep(parent)
        self.cgroup = PREFIX + secrets.token_hex(4)
        self.folder = parent / self.cgroup
        self.logs = logs
        for folder in (self.folder / "lib", logs / "log"):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._outer: subprocess.Popen[bytes] | None = None
        self._programs: list[subprocess.Popen[bytes]] = []
        self._cable = self.pods = ""
        try:
            _make_cgroups(self.cgroup)
            self.pid = self._start_namespaces()
            self._lay_cable()
        except BaseException:
            self.close()
            raise

    def _start_namespaces(self) -> int:
        # setpriv: die with us. --kill-child: process 1 dies with unshare, and all inside with process 1.
        words = (
            *("setpriv", "--pdeathsig", "KILL"),
            *("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"),
            *("sh", str(HERE / "enter.sh"), str(self.folder), str(self.logs)),
        )
        with (self.logs / "init.log").open("w") as log:
            start = functools.partial(
                subprocess.Popen, words, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            outer = _maker.submit(start).result()
        self._outer = outer
        until = time.monotonic() + 20
        while not (self.folder / "ready").exists():
            if outer.poll() is not None or time.monotonic() > until:
                said = (self.logs / "init.log").read_text()
                raise EnclosureError(f"wanted namespaces of our own, found: {said.strip()}; run as root")
            time.sleep(0.02)
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text()
        return int(children.split()[0])

    def _lay_cable(self) -> None:
        """Take the first free number N; making the interface is what claims it."""
        for number in range(200):
            self._cable = f"alf{number}"
            peer = ("peer", "name", "eth0", "netns", str(self.pid))
            made = _try("ip", "link", "add", self._cable, "type", "veth", *peer)
            if not made.returncode:
                break
            if "File exists" not in made.stderr:
                raise EnclosureError(f"wanted a veth pair, found: {made.stderr.strip()}; run as root")
        here, self.address = f"10.231.{number}.1", f"10.231.{number}.2"
        self.pods = f"10.231.{number}.128/25"
        self.run("ip", "address", "add", self.address, "peer", here, "dev", "eth0")
        _do("ip", "address", "add", here, "peer", self.address, "dev", self._cable)
        settings = Path("/proc/sys/net/ipv4/conf") / self._cable
        for name, value in (("forwarding", "1"), ("route_localnet", "1"), ("rp_filter", "0")):
            (settings / name).write_text(value)
        rule = f'iifname "{self._cable}" ip daddr {LOOPBACK} dnat to 127.0.0.1'
        chain = f"chain incoming {{\ntype nat hook prerouting priority dstnat\n{rule}\n}}"
        _try("nft", "delete", "table", "ip", _table(self._cable))
        _do("nft", "-f", "-", input=f"table ip {_table(self._cable)} {{\n{chain}\n}}\n")
        self.connect()

    def lead(self, address: str, port: int, local_port: int) -> None:
        """From inside, let a port of some address be one of this machine's 127.0.0.1."""
        words = ("iifname", self._cable, "ip", "daddr", address, "tcp", "dport", str(port))
        _do(
            "nft",
            "insert",
            "rule",
            "ip",
            _table(self._cable),
            "incoming",
            *words,
            "dnat",
            "to",
            f"127.0.0.1:{local_port}",
        )

    def connect(self) -> None:
        """Plug the cable in."""
        _do("ip", "link", "set", self._cable, "up")
        _do("ip", "route", "replace", self.pods, "via", self.address, "dev", self._cable)
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "route", "replace", "default", "via", self.address[:-1] + "1")

    def disconnect(self) -> None:
        """Pull the cable: everything inside goes on, unreachable; who calls a pod is told so at once."""
        _do("ip", "link", "set", self._cable, "down")
        _do("ip", "route", "replace", "unreachable", self.pods)

    def run(self, *words: str | Path, **options) -> str:
        """What a command inside prints."""
        return _do(*self._enter(), *words, **options)

    def start(self, name: str, *words: str | Path, environment: dict[str, str] | None = None) -> int:
        """Start a program inside that stays; its process id, as seen from here. Its words go to its log."""
        with (self.logs / f"{name}.log").open("a") as log:
            outer = subprocess.Popen(
                [str(word) for word in (*self._enter(), *words)],
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        while outer.poll() is None:
            if inside := children.read_text().split():
                self._programs.append(outer)
                return int(inside[0])
            time.sleep(0.01)
        raise EnclosureError(f"wanted {name} to start, found exit status {outer.returncode}; see {log.name}")

    def end(self, pid: int, how: signal.Signals) -> None:
        """Send a program that was started here a signal and wait until it is gone."""
        os.kill(pid, how)
        until = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists():
            if time.monotonic() > until:
                raise EnclosureError(
                    f"wanted process {pid} to end by {how.name}, found it running after 20 s"
                )
            time.sleep(0.02)

    def is_alive(self) -> bool:
        """Whether its process 1 runs."""
        return self._outer is not None and self._outer.poll() is None

    def kill(self) -> None:
        """As by pulling the plug: every process inside is gone when this returns; files stay."""
        if self._outer is not None:
            self._outer.kill()
            self._outer.wait()
        for outer in self._programs:
            outer.wait()
        if self._cable:
            _try("ip", "link", "delete", self._cable)
            _try("ip", "route", "delete", "unreachable", self.pods)  # of a cable that was pulled
            _try("nft", "delete", "table", "ip", _table(self._cable))

    def close(self) -> None:
        """End it and leave nothing."""
        self.kill()
        _remove_cgroups(self.cgroup)
        shutil.rmtree(self.folder)
        self._lock.close()

    def _enter(self) -> tuple[str, ...]:
        return ("nsenter", "--target", str(self.pid), "--mount", "--pid", "--net", "--")


def sweep(parent: Path) -> None:
    """Remove what machines left whose makers were killed."""
    for folder in parent.glob(PREFIX + "*"):
        with (folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its maker lives
            _remove_cgroups(folder.name)
            shutil.rmtree(folder)
    interfaces = os.listdir("/sys/class/net")
    for line in _try("nft", "list", "tables", "ip").stdout.splitlines():
        table = line.split()[-1]
        if table.startswith(_table("alf")) and table.removeprefix(_table("")) not in interfaces:
            _try("nft", "delete", "table", "ip", table)


def _table(cable: str) -> str:
    return f"autolfads_{cable}"


def _hierarchies() -> list[Path]:
    """Version 1 has a tree for each controller, version 2 one for all."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in CGROUPS.iterdir() if (path / "cgroup.procs").exists()]


def _make_cgroups(name: str) -> None:
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir()
        for file in (
            "cpuset.cpus",
            "cpuset.mems",
        ):  # empty in a new group of version 1, which can run nothing
            if (group / file).exists() and not (group / file).read_text().strip():
                (group / file).write_text((hierarchy / file).read_text())


def _remove_cgroups(name: str) -> None:
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            _remove_cgroup(Path(folder))


def _remove_cgroup(group: Path) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            return group.rmdir()
        except OSError:
            if time.monotonic() > until:
                raise
        for pid in (group / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.05)


def _try(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True)


def _do(*words: str | Path, **options) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)
    if done.returncode:
        raise EnclosureError(f"wanted `{' '.join(map(str, words))}` to succeed, found: {done.stderr.strip()}")
    return done.stdout
