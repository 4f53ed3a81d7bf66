"""A real node for the tests: kubelet, containerd, runc and CoreDNS in an enclosure of their own.

    node = start_node(cluster)          Ready when it returns; pods may use images.WORKER and images.OPERATOR
    node.name  .address  .logs          logs of its programs and, in log/pods/, of containers
    node.shared                         under this path all containers of the session find the same folder
    node.loopback                       under this address pods reach what listens on this machine's 127.0.0.1
    node.image(reference)               manifest and configuration of an image
    node.kill_pod(namespace, name)      SIGKILL its processes; kubelet restarts them as their pod says
    node.stop_kubelet()  .start_kubelet()
    node.processes()                    command lines of all that runs on it, its own daemons included
    node.pod_log(namespace, name)       what it printed, also when nobody answers
    node.disconnect()  .connect()       a partition: everything on it goes on, unreachable
    node.kill()                         the machine is gone at once; its Node and pods stay in the API
    node.close()                        the same, its Node deleted, nothing left on this machine

Pods with a token reach the API server as everywhere, at KUBERNETES_SERVICE_HOST; no other service address
answers, since there is no kube-proxy. Several nodes may run beside each other; each reports all cores and all
memory of this machine as its own.
`capacity` adds resources that no device plugin is there for, such as nvidia.com/gpu.
If the test is killed, so is the node; what files remain are removed when the next one starts.
"""

import ipaddress
import json
import signal
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from compiled import of_pods
from kube.components import SERVICE_ADDRESSES
from kube.nodes import images, kubelet
from kube.nodes.containerd import SHARED, Containerd
from kube.nodes.enclosure import LOOPBACK, Enclosure
from kube.nodes.store import lay_store


class NodeError(Exception):
    """The node did not become Ready; the message ends with what its kubelet said last."""


def start_node(cluster: Any, name: str = "node-a", capacity: dict[str, str] | None = None) -> "Node":
    """A node that is Ready, on a new machine of that name; `cluster` is the fixture of tests/kube."""
    prepared = images.prepared_images()
    cluster.kubectl("delete", "node", name, "--ignore-not-found")
    machine = Enclosure(images.CACHE / "nodes", cluster.folder / "logs" / name)
    try:
        node = Node(cluster, name, machine, prepared)
        node.wait_until_ready(capacity or {})
    except BaseException:
        machine.close()
        raise
    return node


class Node:
    loopback = LOOPBACK
    shared = SHARED

    def __init__(self, cluster: Any, name: str, machine: Enclosure, prepared: images.Images) -> None:
        self.name, self.address, self.logs = name, machine.address, machine.logs
        self._cluster, self._machine = cluster, machine
        lay_store(prepared.store, machine)
        self._containerd = Containerd(machine, shared=of_pods())
        self._containerd.import_image(prepared.archive)
        self._serve_kubernetes()
        self._start_dns()
        config = kubelet.settings(machine.address, machine.cgroup, cluster.folder / "certificates" / "ca.crt")
        (self._machine.folder / "kubelet.json").write_text(json.dumps(config))
        groups = ("system:nodes",)
        self._kubeconfig = self._credentials(name, user=f"system:node:{name}", groups=groups)
        self.start_kubelet()

    def _credentials(self, actor: str, user: str, groups: tuple[str, ...] = ()) -> Path:
        given = self._cluster.add_actor(actor, user=user, groups=groups)
        path = self._machine.folder / f"{actor}.kubeconfig"
        path.write_text(kubelet.from_inside(Path(given).read_text()))
        return path

    def _start_dns(self) -> None:
        self._cluster.apply(kubelet.DNS_ROLE, kubelet.DNS_BINDING)
        kubeconfig = self._credentials("test-node-dns", user="test-node-dns")
        (self._machine.folder / "Corefile").write_text(kubelet.corefile(self.address, kubeconfig))
        self._machine.start(
            "coredns", self._cluster.binary("coredns"), "-conf", self._machine.folder / "Corefile"
        )

    def _serve_kubernetes(self) -> None:
        """Lead the address of the service `kubernetes`, which every pod is told, to the API server."""
        address = str(next(ipaddress.ip_network(SERVICE_ADDRESSES).hosts()))
        self._machine.lead(address, 443, urlsplit(self._cluster.url).port)

    def start_kubelet(self) -> None:
        self._kubelet = self._machine.start(
            "kubelet",
            self._cluster.binary("kubelet"),
            *("--config", self._machine.folder / "kubelet.json", "--kubeconfig", self._kubeconfig),
            *("--hostname-override", self.name, "--node-ip", self.address),
        )

    def stop_kubelet(self) -> None:
        """SIGKILL: containers go on, and nobody tells the cluster of them."""
        self._machine.end(self._kubelet, signal.SIGKILL)

    def wait_until_ready(self, capacity: dict[str, str], seconds: float = 120) -> None:
        """Return once its Node is Ready and has `capacity`."""
        until = time.monotonic() + seconds
        while not self._is_ready():
            if time.monotonic() > until or not self._machine.is_alive():
                said = (self.logs / "kubelet.log").read_text()[-3000:]
                raise NodeError(f"wanted node {self.name} Ready within {seconds:.0f} s, found: {said}")
            time.sleep(0.2)
        if capacity:
            patch = json.dumps({"status": {"capacity": capacity}})
            self._cluster.kubectl(
                "patch", "node", self.name, "--subresource=status", "--type=merge", "-p", patch
            )

    def _is_ready(self) -> bool:
        found = self._cluster.kubectl("get", "node", self.name, "-o", "json", check=False)
        conditions = json.loads(found.stdout)["status"].get("conditions", []) if not found.returncode else []
        return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)

    def image(self, reference: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Manifest and configuration of an image that it has."""
        return self._containerd.image(reference)

    def kill_pod(self, namespace: str, name: str) -> int:
        """SIGKILL all processes of a pod but its sandbox; how many containers it had running."""
        return self._containerd.kill_containers(namespace, name)

    def processes(self) -> list[str]:
        """Command lines of all that runs on it, in pods or not."""
        found = Path(f"/proc/{self._machine.pid}/root/proc").glob("[0-9]*/cmdline")
        return [line for path in found if (line := _text(path).replace("\0", " ").strip())]

    def pod_log(self, namespace: str, name: str) -> str:
        """What a pod's containers printed, as it lies on the node."""
        files = sorted((self.logs / "log" / "pods").glob(f"{namespace}_{name}_*/*/*.log"))
        return "".join(file.read_text() for file in files)

    def disconnect(self) -> None:
        self._machine.disconnect()

    def connect(self) -> None:
        self._machine.connect()

    def kill(self) -> None:
        self._machine.kill()

    def close(self) -> None:
        self._machine.close()
        self._cluster.kubectl("delete", "node", self.name, "--ignore-not-found", check=False)


def _text(path: Path) -> str:
    """Of a process, which may end meanwhile."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
