"""A real Kubernetes on this machine for as long as the tests run, nodes apart.

`Cluster` starts etcd, API server, controller manager, scheduler, KWOK and KubeRay, installs our CRD and
KubeRay's, and gives every actor an identity of its own. The interface is told in conftest.py.
Knows nothing of our operator.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kubernetes import client, config

from controlplane import build
from kube import components, ray_kinds
from kube.certificates import Authority, write_kubeconfig
from kube.process import Process

ROOT = Path(__file__).parents[2]
OPERATOR_ROLE = Path(__file__).with_name("operator-rbac.yaml")
Object = Mapping[str, Any]

_ACTORS = {
    "admin": ("admin", ("system:masters",)),
    "operator": (
        "system:serviceaccount:autolfads-system:autolfads-operator",
        ("system:serviceaccounts", "system:serviceaccounts:autolfads-system"),
    ),
    "kuberay": ("kuberay", ()),
    "kwok": ("kwok", ()),
    "user": ("user", ()),
    "controller-manager": ("system:kube-controller-manager", ()),
    "scheduler": ("system:kube-scheduler", ()),
}


class Cluster:
    """Six processes and who may speak to them; see conftest.py."""

    def __init__(self, folder: Path, has_ours: bool = True) -> None:
        self.folder, self._has_ours = folder, has_ours
        self._place = components.Place(folder, _data_folder())
        self._authority = Authority(self._place.certificates)
        self._clients: dict[str, client.ApiClient] = {}
        self._more: list[Process] = []
        self.etcd = components.etcd(self._place)
        self.apiserver = components.apiserver(self._place, self._authority, self.etcd)
        self.url = f"https://{components.LOOPBACK}:{self.apiserver.port}"
        for actor, (user, groups) in _ACTORS.items():
            self.add_actor(actor, user=user, groups=groups)
        self.controller_manager = components.controller_manager(
            self._place, self._authority, self.kubeconfig("controller-manager")
        )
        self.scheduler = components.scheduler(self._place, self.kubeconfig("scheduler"))
        serving = self._authority.server("kwok", ("localhost", components.LOOPBACK))
        self.kwok = components.kwok(self._place, self.kubeconfig("kwok"), serving)
        self.kuberay = components.kuberay(self._place, self.kubeconfig("kuberay"))

    @property
    def processes(self) -> tuple[Process, ...]:
        """In the order in which they start."""
        return (
            self.etcd,
            self.apiserver,
            self.controller_manager,
            self.scheduler,
            self.kwok,
            self.kuberay,
            *self._more,
        )

    def start(self) -> None:
        self.etcd.start()
        self.apiserver.start()
        # Before the others: the garbage collector looks for new kinds only every 30 s.
        self._install()
        self.start_missing()

    def start_missing(self) -> None:
        """Start whatever does not run."""
        missing = [process for process in self.processes if not process.is_alive]
        for process in missing:
            process.launch()
        for process in missing:
            process.wait_until_ready()

    def start_clients_anew(self) -> None:
        """After an outage: each would sleep out a pause that has grown to half a minute."""
        for process in (self.controller_manager, self.scheduler, self.kwok, self.kuberay):
            process.kill()
        self.start_missing()

    def stop(self) -> None:
        """End every process, the last started first, and forget the data."""
        for api in self._clients.values():
            api.close()
        self.kill()
        shutil.rmtree(self._place.data, ignore_errors=True)

    def kill(self) -> None:
        """End every process, the last started first; `start_missing` brings them back with what they knew."""
        for process in reversed(self.processes):
            process.kill()

    def _install(self) -> None:
        roles = [build.files("kwok") / "kustomize/rbac/role.yaml", Path(__file__).with_name("roles.yaml")]
        crds = []
        if self._has_ours:
            roles.append(OPERATOR_ROLE)
            crds.append(ROOT / "crds/autolfadsruns.yaml")
        self._apply_files(*roles, *crds)
        self.install_kuberay()

    def install_kuberay(self, *, before: bool = False) -> None:
        """KubeRay's role and kinds, until they are served; its process has that version from its next start.

        Args:
          before: an older one, from which to upgrade.
        """
        folder, program = ("kuberay-before", "ray-operator-before") if before else ("kuberay", "ray-operator")
        self._apply_files(build.files(folder) / "config/rbac/role.yaml", *ray_kinds.files(folder))
        self.wait_for_kinds()
        self.kuberay.program = self.binary(program)

    def _apply_files(self, *paths: Path) -> None:
        words = (word for path in paths for word in ("-f", str(path)))
        self.kubectl("apply", "--server-side", *words)

    def wait_for_kinds(self) -> None:
        """Until every kind that is defined is served; `kubectl wait` fails at one that was just defined."""
        wait_until(self._are_all_kinds_served, seconds=120)

    def _are_all_kinds_served(self) -> bool:
        found = client.ApiextensionsV1Api(self.client()).list_custom_resource_definition().items
        established = [
            condition.status == "True"
            for crd in found
            for condition in crd.status.conditions or ()
            if condition.type == "Established"
        ]
        return len(established) == len(found) and all(established)

    def add_process(
        self,
        name: str,
        program: str | Path,
        arguments: Sequence[str],
        *,
        is_ready: Callable[[], bool] = lambda: True,
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """One more process of the cluster, a kubelet for example; not started yet."""
        path = Path(program) if os.sep in str(program) else self.binary(str(program))
        log = self._place.log(name)
        process = Process(name, path, arguments, log, is_ready=is_ready, environment=environment)
        self._more.append(process)
        return process

    def remove_process(self, process: Process) -> None:
        """End it; the cluster forgets it."""
        process.stop()
        self._more.remove(process)

    def binary(self, name: str) -> Path:
        return build.binary(name)

    @property
    def audit_log(self) -> Path:
        return self._place.audit_log

    def audited(self, actor: str | None = None, *, user: str | None = None) -> list[dict[str, Any]]:
        """What the API server was asked so far, by whom and with which answer, in its order.

        Of everybody unless an actor of ours or a user's name is given. Who was refused as unknown has none.
        """
        user = _ACTORS[actor][0] if actor else user
        lines = self.audit_log.read_text().splitlines() if self.audit_log.exists() else []
        events = (json.loads(line) for line in lines if line.endswith("}"))  # the last may be half written
        return [event for event in events if user in (None, event["user"].get("username"))]

    def add_actor(self, actor: str, *, user: str, groups: Sequence[str] = ()) -> Path:
        """An identity by client certificate; its kubeconfig."""
        path = self.kubeconfig(actor)
        pair = self._authority.client(actor, user, groups)
        return write_kubeconfig(path, self.url, self._authority.certificate, pair)

    def kubeconfig(self, actor: str) -> Path:
        return self.folder / "kubeconfigs" / actor

    def client(self, actor: str = "admin") -> client.ApiClient:
        if actor not in self._clients:
            self._clients[actor] = config.new_client_from_config(config_file=str(self.kubeconfig(actor)))
        return self._clients[actor]

    def kubectl(
        self,
        *words: str,
        actor: str = "admin",
        stdin: str | Object | Sequence[Object] | None = None,
        check: bool = True,
    ) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [str(self.binary("kubectl")), f"--kubeconfig={self.kubeconfig(actor)}", *words],
            input=stdin if stdin is None or isinstance(stdin, str) else _as_list(stdin),
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **components.GO},
            capture_output=True,
            text=True,
        )
        if check and done.returncode:
            raise AssertionError(
                f"kubectl {' '.join(words)}\nexit {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def apply(self, *objects: Object, actor: str = "admin") -> None:
        """Server-side apply, taking fields over from whoever has them."""
        words = ("apply", "--server-side", "--force-conflicts", "-f", "-")
        self.kubectl(*words, actor=actor, stdin=objects)

    def add_node(
        self,
        name: str,
        *,
        cpu: str = "8",
        memory: str = "32Gi",
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Object] = (),
        **more_resources: str,
    ) -> None:
        """A node of KWOK's, ready for pods when this returns: `add_node("a", **{"nvidia.com/gpu": "1"})`."""
        key, _, value = components.KWOK_ANNOTATION.partition("=")
        resources = {"cpu": cpu, "memory": memory, "pods": "110", **more_resources}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "annotations": {key: value},
                "labels": {"kubernetes.io/hostname": name, "type": "kwok", **(labels or {})},
            },
            "spec": {"taints": list(taints)},
            "status": {"capacity": resources, "allocatable": resources},
        }
        core = client.CoreV1Api(self.client())
        core.create_node(node)
        wanted = {taint["key"] for taint in taints}
        wait_until(lambda: {t.key for t in core.read_node(name).spec.taints or ()} == wanted)

    def remove_node(self, name: str) -> None:
        client.CoreV1Api(self.client()).delete_node(name)


def wait_until(question: Callable[[], Any], seconds: float = 60, pause: float = 0.1) -> Any:
    """The first true answer; an assertion with the last one when there is none in time.

    Asks ever more rarely, up to half a second apart: a question costs a request or more.
    """
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not so after {seconds:.0f} s; the last answer was {answer!r}"
        time.sleep(pause)
        pause = min(1.05 * pause, max(pause, 0.5))
    return answer


@contextlib.contextmanager
def running_cluster(folder: Path, has_ours: bool = True) -> Iterator[Cluster]:
    """A cluster that runs inside the `with`; whatever happens, none of its processes outlives it.

    Args:
      folder: for its logs and identities.
      has_ours: whether our kind and our operator's roles are installed already.
    """
    cluster = Cluster(folder, has_ours)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _data_folder() -> Path:
    """In memory, where the machine has such a file system; folders of tests that were killed go."""
    shared = Path("/dev/shm")
    parent = shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
    for left in parent.glob("autolfads-etcd-*"):
        if not Path("/proc", left.name.split("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"autolfads-etcd-{os.getpid()}-", dir=parent))


def _as_list(stdin: Object | Sequence[Object]) -> str:
    if isinstance(stdin, Mapping):
        return json.dumps(stdin)
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(stdin)})
