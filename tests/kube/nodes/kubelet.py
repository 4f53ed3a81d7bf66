"""What a test node tells its kubelet and its CoreDNS: pure texts, with a reason for what is unusual."""

from pathlib import Path
from urllib.parse import urlsplit

import yaml

from kube.nodes.enclosure import LOOPBACK


def settings(address: str, cgroup: str, authority: Path) -> dict[str, object]:
    """KubeletConfiguration of a node at `address`, its pods in control groups below `cgroup`."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "clusterDomain": "cluster.local",
        "clusterDNS": [address],  # CoreDNS runs on the node itself: no kube-proxy is needed to reach it
        "resolvConf": "",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failCgroupV1": False,  # the build machines have version 1
        "enforceNodeAllocatable": ["none"],
        "oomScoreAdj": 0,  # -999 wants CAP_SYS_RESOURCE
        "makeIPTablesUtilChains": False,
        # The machine is shared and its disk is full of other things: neither is this node's concern.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "2s",
        "syncFrequency": "10s",
        "containerLogMaxSize": "10Mi",
        "failSwapOn": False,
    }


def corefile(address: str, kubeconfig: Path) -> str:
    """CoreDNS's settings: the cluster's names and no others."""
    return f"""cluster.local:53 {{
  bind {address}
  errors
  kubernetes cluster.local {{
    kubeconfig {kubeconfig}
    ttl 1
  }}
}}
"""


DNS_ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "test-node-dns"},
    "rules": [
        {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ],
}
DNS_BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "test-node-dns"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "test-node-dns"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "test-node-dns"}],
}


def from_inside(kubeconfig: str) -> str:
    """The same kubeconfig for a process in an enclosure, where this machine's 127.0.0.1 has another name."""
    document = yaml.safe_load(kubeconfig)
    for entry in document["clusters"]:
        server = urlsplit(entry["cluster"]["server"])
        entry["cluster"]["server"] = f"https://{LOOPBACK}:{server.port}"
        entry["cluster"]["tls-server-name"] = server.hostname
    return yaml.safe_dump(document)
