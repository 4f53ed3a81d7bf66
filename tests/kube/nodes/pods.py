"""Pods for tests of nodes and images, as the restricted Pod Security Standard wants them."""

from kube.nodes.images import WORKER


def pod(name, *command, image=WORKER, **fields):
    """A pod as the restricted Pod Security Standard wants it, with one container."""
    restricted = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "main", "image": image, "command": command, "securityContext": restricted}
    container |= fields.pop("container", {})
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "restartPolicy": "Never",
        "containers": [container],
        "nodeSelector": {"kubernetes.io/hostname": "node-a"},
    }
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec | fields}
