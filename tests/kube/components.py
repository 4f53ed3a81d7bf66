"""The command lines of the six processes of a test cluster.

Everything listens on the loopback address and free ports, elects no leaders and forgets everything at the
end. Order and life are the cluster's business, not this module's.
"""

import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from controlplane import build
from kube.certificates import Authority, Pair
from kube.process import Process
from ports import free_port

LOOPBACK = "127.0.0.1"
SERVICE_ADDRESSES = "10.96.0.0/24"
KWOK_POD_ADDRESSES = "10.245.0.0/16"
KWOK_NODE_ADDRESS = "198.51.100.1"  # of a network reserved for documentation: nothing answers there
KWOK_ANNOTATION = "kwok.x-k8s.io/node=fake"
# Requests a second; the defaults are for sharing a server with hundreds of nodes.
_FAST_CLIENT = ("--kube-api-qps=200", "--kube-api-burst=400")

# What moves the objects that we and KubeRay make. Others only cost memory and start-up time.
CONTROLLERS = (
    "clusterrole-aggregation-controller",  # without it the roles admin, edit and view are empty
    "deployment-controller",
    "endpoints-controller",  # the API server's service proxy still reads Endpoints
    "endpointslice-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "node-lifecycle-controller",  # takes the taint not-ready from new nodes
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
)

# Memory for processor time: the collector of garbage runs when there is five times as much as is in use, and
# more often from some point on: four API servers at once would else take 3 GB each. And one thread at a time,
# which does the same work for a quarter less: nobody looks for something to do.
GO = {"GOGC": "400", "GOMEMLIMIT": "1500MiB", "GOMAXPROCS": "1"}

_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    nonResourceURLs: ["/healthz*", "/livez*", "/readyz*"]
  - level: Metadata
"""


@dataclass(frozen=True)
class Place:
    """Where a cluster keeps its things."""

    folder: Path
    data: Path

    def __post_init__(self) -> None:
        for name in ("logs", "kubeconfigs"):
            (self.folder / name).mkdir()

    @property
    def certificates(self) -> Path:
        return self.folder / "certificates"

    @property
    def audit_log(self) -> Path:
        return self.folder / "audit.log"

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"


def etcd(place: Place) -> Process:
    port, peer = free_port(), f"http://{LOOPBACK}:{free_port()}"
    url = f"http://{LOOPBACK}:{port}"
    arguments = (
        f"--data-dir={place.data}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
    )
    return _process(place, "etcd", "etcd", arguments, port, f"{url}/health")


def apiserver(place: Place, authority: Authority, etcd: Process) -> Process:
    port = free_port()
    hosts = ("localhost", LOOPBACK, "10.96.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
    serving = authority.server("apiserver", hosts)
    kubelet = authority.client("apiserver-to-kubelet", "kube-apiserver", ("system:masters",))
    tokens = authority.key_pair("tokens")
    policy = place.folder / "audit-policy.yaml"
    policy.write_text(_AUDIT_POLICY)
    arguments = (
        f"--etcd-servers=http://{LOOPBACK}:{etcd.port}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
        f"--client-ca-file={authority.certificate}",
        f"--kubelet-client-certificate={kubelet.certificate}",
        f"--kubelet-client-key={kubelet.key}",
        "--kubelet-preferred-address-types=InternalIP,Hostname",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={tokens.certificate}",
        f"--service-account-signing-key-file={tokens.key}",
        f"--service-cluster-ip-range={SERVICE_ADDRESSES}",
        "--endpoint-reconciler-type=none",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={place.audit_log}",
        "--profiling=false",
    )
    # The server's own port answers /readyz to anybody.
    url = f"https://{LOOPBACK}:{port}/readyz"
    return _process(place, "kube-apiserver", "kube-apiserver", arguments, port, url)


def controller_manager(place: Place, authority: Authority, kubeconfig: Path) -> Process:
    port = free_port()
    arguments = (
        *_as_client(kubeconfig, port),
        f"--service-account-private-key-file={place.certificates / 'tokens.key'}",
        f"--root-ca-file={authority.certificate}",
        "--use-service-account-credentials",
        f"--controllers={','.join(CONTROLLERS)}",
    )
    name = "kube-controller-manager"
    return _process(place, name, name, arguments, port, f"https://{LOOPBACK}:{port}/healthz")


def scheduler(place: Place, kubeconfig: Path) -> Process:
    port = free_port()
    name = "kube-scheduler"
    return _process(
        place, name, name, _as_client(kubeconfig, port), port, f"https://{LOOPBACK}:{port}/readyz"
    )


def kwok(place: Place, kubeconfig: Path, serving: Pair) -> Process:
    """Nodes that exist only as objects, with KWOK's own fast stages: what is bound runs at once."""
    port = free_port()
    stages = place.folder / "stages.yaml"
    shipped = sorted((build.files("kwok") / "kustomize/stage").glob("[np]o*/fast/*.yaml"))
    stages.write_text("\n---\n".join(path.read_text() for path in shipped))
    arguments = (
        f"--kubeconfig={kubeconfig}",
        f"--config={stages}",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={KWOK_ANNOTATION}",
        f"--cidr={KWOK_POD_ADDRESSES}",
        f"--node-ip={KWOK_NODE_ADDRESS}",
        "--node-lease-duration-seconds=40",
        f"--server-address={LOOPBACK}:{port}",
        f"--tls-cert-file={serving.certificate}",
        f"--tls-private-key-file={serving.key}",
    )
    return _process(place, "kwok", "kwok", arguments, port, f"http://{LOOPBACK}:{port}/healthz")


def kuberay(place: Place, kubeconfig: Path) -> Process:
    port = free_port()
    arguments = (
        f"--kubeconfig={kubeconfig}",
        "--enable-leader-election=false",
        f"--health-probe-bind-address={LOOPBACK}:{port}",
        "--metrics-addr=0",
        "--use-kubernetes-proxy",
        "--reconcile-concurrency=4",
        "--log-stdout-encoder=console",
        "--qps=200",
        "--burst=400",
    )
    return _process(place, "kuberay", "ray-operator", arguments, port, f"http://{LOOPBACK}:{port}/readyz")


def _as_client(kubeconfig: Path, port: int) -> tuple[str, ...]:
    return (
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        "--leader-elect=false",
        "--profiling=false",
        *_FAST_CLIENT,
    )


def _process(
    place: Place, name: str, program: str, arguments: tuple[str, ...], port: int, health: str
) -> Process:
    return Process(
        name,
        build.binary(program),
        arguments,
        place.log(name),
        is_ready=lambda: answers(health),
        environment=GO,
        port=port,
    )


def answers(url: str) -> bool:
    """Whether a health page says yes. Who answers is not checked: the port was just given away by us."""
    try:
        with urllib.request.urlopen(url, timeout=5, context=_ANY_SERVER) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


_ANY_SERVER = ssl._create_unverified_context()
