"""Debian's containerd inside an enclosure, with runc and the CNI plugin `ptp`: it runs what kubelet asks for.

Everything lies at its default place, because inside the enclosure those places are the node's own. Refuses to
know what the containers are for.
"""

import json
import signal
import time
from pathlib import Path
from typing import Any

from kube.nodes.enclosure import Enclosure, EnclosureError

PAUSE = "localhost/pause:test"
# Where each container finds the folder that all containers share.
SHARED = "/shared"
CONTAINER = "/run/container.json"
CONFIG = f"""
version = 2
# Snapshotters that this machine has no use for would only warn; `opt` wants a folder outside the node.
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# Without CAP_SYS_RESOURCE nothing may go below the score it has.
restrict_oom_score_adj = true
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "/run/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
base_runtime_spec = "{CONTAINER}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
"""
CTR = ("ctr", "--namespace", "k8s.io")


class Containerd:
    """A running containerd; it takes up what an earlier one left in the enclosure.

    Args:
      shared: a folder of this machine that each container finds at `SHARED`.
    """

    def __init__(self, machine: Enclosure, shared: Path | None = None) -> None:
        self._machine = machine
        network = {
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "ptp",
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": machine.pods}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        }
        config = machine.folder / "containerd.toml"
        config.write_text(CONFIG)
        machine.run("tee", CONTAINER, input=json.dumps(self._container(shared)))
        machine.run("mkdir", "-p", "/run/cni")
        machine.run("tee", "/run/cni/10-pods.conflist", input=json.dumps(network))
        self._pid = machine.start("containerd", "containerd", "--config", config)
        self._wait()

    def _container(self, shared: Path | None) -> dict[str, Any]:
        """What containerd would start from, and a folder of this machine."""
        container: dict[str, Any] = json.loads(self._machine.run("ctr", "oci", "spec"))
        if shared is not None:
            mount = {"type": "bind", "source": str(shared), "options": ["rbind", "rw"]}
            container["mounts"].append({"destination": SHARED, **mount})
        return container

    def _wait(self) -> None:
        until = time.monotonic() + 30
        while True:
            try:
                self._ctr("version")
                return
            except EnclosureError:
                if time.monotonic() > until or not self._machine.is_alive():
                    raise
            time.sleep(0.05)

    def import_image(self, archive: Path) -> None:
        """Take an image in and unpack it."""
        self._ctr("image", "import", archive)

    def image(self, reference: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The manifest and the configuration of an image."""
        _, line = self._ctr("image", "list", f"name=={reference}").splitlines()
        manifest = json.loads(self._ctr("content", "get", line.split()[2]))
        return manifest, json.loads(self._ctr("content", "get", manifest["config"]["digest"]))

    def kill_containers(self, namespace: str, pod: str) -> int:
        """SIGKILL every process of a pod but its sandbox's; how many containers were running."""
        labels = {
            "io.cri-containerd.kind": "container",
            "io.kubernetes.pod.namespace": namespace,
            "io.kubernetes.pod.name": pod,
        }
        query = ",".join(f'labels."{label}"=={value}' for label, value in labels.items())
        containers = self._ctr("container", "list", "--quiet", query).split()
        tasks = [line.split() for line in self._ctr("task", "list").splitlines()[1:]]
        running = [name for name, _, status in tasks if status == "RUNNING" and name in containers]
        for container in running:
            self._ctr("task", "kill", "--all", "--signal", "SIGKILL", container)
        return len(running)

    def stop(self) -> None:
        """End containerd, not its containers."""
        self._machine.end(self._pid, signal.SIGTERM)

    def _ctr(self, *words: str | Path) -> str:
        return self._machine.run(*CTR, *words)
