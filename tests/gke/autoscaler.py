"""GKE's cluster autoscaler for the test cluster: KWOK nodes for pods that find none, and their removal.

Looks every `pause_seconds`: machines of the Project that run and have no node get one, with GKE's labels,
taint and name; nodes whose machine has ended go, and with them their pods: Failed with reason Terminated
when the machine was preempted, as a kubelet leaves them that is told to shut down, else evicted. For
pods that the scheduler could not place, and that would fit on a new node of a running pool, the pool grows;
when Google has none, the pool's condition and an event FailedScaleUp at the pod say so. A machine without
pods for `idle_seconds` is ended, unless a pod that waits could go there. The bill is the Project's.

    autoscaler.idle_seconds     how long a machine stays without pods (1)
    autoscaler.is_paused        True: no machine comes or goes by itself
"""

import datetime
import json
import threading
import time
import traceback
import uuid
from decimal import Decimal

from kubernetes import client

from gke.project import Shortage

GPU = "nvidia.com/gpu"
POOL = "cloud.google.com/gke-nodepool"
SHUTDOWN = "Pod was terminated in response to imminent node shutdown."
GI = 1024**3
# CPUs and memory; of any other machine type -8 means 8 CPUs of 4 GiB each.
SIZES = {
    "n1-standard-8": (8, 30),
    "a2-highgpu-1g": (12, 85),
    "a2-ultragpu-1g": (12, 170),
    "a3-highgpu-1g": (26, 234),
}
UNITS = {"m": Decimal("0.001"), "Ki": 1024, "Mi": 1024**2, "Gi": GI, "Ti": 1024**4, "k": 1000, "M": 10**6}


class Autoscaler:
    def __init__(self, project, cluster, idle_seconds=1.0, pause_seconds=0.3):
        self.project, self.cluster = project, cluster
        self.idle_seconds, self.pause_seconds = idle_seconds, pause_seconds
        self.is_paused = False
        self._core = client.CoreV1Api(cluster.client())
        self._idle_since = {}
        self._told = set()
        self._ended = threading.Event()
        self._problem = None
        self._thread = threading.Thread(target=self._keep_looking, name="autoscaler")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()
        for name in self._nodes():
            self._remove(name)
        assert self._problem is None, self._problem

    def _keep_looking(self):
        while not self._ended.wait(self.pause_seconds):
            try:
                self.look()
            except Exception:  # the API server may be down in a test; at the end it must have worked
                self._problem = traceback.format_exc()
            else:
                self._problem = None

    def look(self):
        """Once."""
        nodes = self._nodes()
        machines = {machine.name: machine for machine in self.project.running()}
        for name in nodes - set(machines):
            self._remove(name)
        for name in set(machines) - nodes:
            self._add(machines[name])
        if not self.is_paused:
            pods = self._pods()
            self._grow(pods, machines)
            self._shrink(pods, machines)

    def _nodes(self):
        found = self._core.list_node(label_selector=POOL).items
        return {node.metadata.name for node in found}

    def _pods(self):
        answer = self._core.list_pod_for_all_namespaces(_preload_content=False)
        pods = json.loads(answer.data)["items"]
        return [pod for pod in pods if pod["status"].get("phase") not in ("Succeeded", "Failed")]

    def _grow(self, pods, machines):
        """A machine for every pod that none of those there has room for, first come first served."""
        free = {name: self._free(machine, pods) for name, machine in machines.items()}
        for pod in filter(_is_unschedulable, pods):
            needs = requests(pod)
            for pool in list(self.project.pools.values()):
                if not _goes_on(pod, pool):
                    continue
                room = next(
                    (
                        n
                        for n, left in free.items()
                        if n in machines and _covers(left, needs) and machines[n].pool == pool.name
                    ),
                    None,
                )
                if room is None:
                    found = self.project.grow(pool.name)
                    if isinstance(found, Shortage):
                        self._tell(pod, found)
                        continue
                    machines[found.name], room = found, found.name
                    free[room] = size(pool)
                free[room] = {key: free[room][key] - needs[key] for key in needs}
                break

    def _free(self, machine, pods):
        left = size(self.project.pools[machine.pool]) if machine.pool in self.project.pools else {}
        for pod in pods:
            if left and pod["spec"].get("nodeName") == machine.name:
                needs = requests(pod)
                left = {key: left[key] - needs[key] for key in left}
        return left or dict.fromkeys(("cpu", "memory", GPU), Decimal(0))

    def _shrink(self, pods, machines):
        used = {pod["spec"].get("nodeName") for pod in pods if not _is_of_a_daemon_set(pod)}
        pending = [pod for pod in pods if _is_unschedulable(pod)]
        now = time.monotonic()
        for name, machine in machines.items():
            pool = self.project.pools.get(machine.pool)
            if name in used or (pool and any(_goes_on(pod, pool) for pod in pending)):
                self._idle_since.pop(name, None)
            elif now - self._idle_since.setdefault(name, now) >= self.idle_seconds:
                self.project.end(machine)

    def _add(self, machine):
        pool = self.project.pools.get(machine.pool)
        if pool is None:
            return
        room = size(pool)
        gpus = {GPU: str(room[GPU])} if room[GPU] else {}
        self.cluster.add_node(
            machine.name,
            cpu=str(room["cpu"]),
            memory=str(int(room["memory"])),
            labels=node_labels(pool, machine.zone),
            taints=taints(pool),
            **gpus,
        )

    def _remove(self, name):
        was_preempted = any(m.name == name and m.was_preempted for m in self.project.machines)
        for pod in self._pods():
            if pod["spec"].get("nodeName") == name:
                self._take_down(pod["metadata"]["name"], pod["metadata"]["namespace"], was_preempted)
        try:
            self.cluster.remove_node(name)
        except client.ApiException as error:
            if error.status != 404:
                raise

    def _take_down(self, pod, namespace, was_preempted):
        try:
            if was_preempted:
                status = {"phase": "Failed", "reason": "Terminated", "message": SHUTDOWN}
                self._core.patch_namespaced_pod_status(pod, namespace, {"status": status})
            else:
                self._core.delete_namespaced_pod(pod, namespace, grace_period_seconds=0)
        except client.ApiException as error:
            if error.status != 404:
                raise

    def _tell(self, pod, shortage):
        """Once for each pod and kind of shortage, in the autoscaler's words."""
        key = (pod["metadata"]["uid"], shortage.code)
        if not shortage.code or key in self._told:
            return
        self._told.add(key)
        cause = "GCE out of resources" if shortage.code == "GCE_STOCKOUT" else "GCE quota exceeded"
        now = datetime.datetime.now(datetime.UTC)
        namespace = pod["metadata"]["namespace"]
        event = {
            "metadata": {
                "name": f"{pod['metadata']['name']}.{uuid.uuid4().hex[:16]}",
                "namespace": namespace,
            },
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": namespace}
            | {key: pod["metadata"][key] for key in ("name", "uid")},
            "type": "Warning",
            "reason": "FailedScaleUp",
            "message": f"Node scale up in zones {', '.join(shortage.zones)} associated with this pod failed: "
            f"{cause}. Pod is at risk of not being scheduled.",
            "source": {"component": "cluster-autoscaler"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self._core.create_namespaced_event(namespace, event)


def node_labels(pool, zone):
    """What GKE writes on a node, and what the pool's maker wanted."""
    config = pool.config
    labels = {
        **config.labels,
        POOL: pool.name,
        "node.kubernetes.io/instance-type": config.machine_type,
        "topology.kubernetes.io/region": "us-central1",
    }
    labels |= {"topology.kubernetes.io/zone": zone} if zone else {}
    labels |= {"cloud.google.com/gke-spot": "true"} if config.spot else {}
    labels |= {"cloud.google.com/gke-flex-start": "true"} if config.flex_start else {}
    for accelerator in config.accelerators:
        labels["cloud.google.com/gke-accelerator"] = accelerator.accelerator_type
    return labels


def taints(pool):
    found = [{"key": taint.key, "value": taint.value, "effect": "NoSchedule"} for taint in pool.config.taints]
    if pool.config.accelerators:
        found.append({"key": GPU, "value": "present", "effect": "NoSchedule"})
    return found


def size(pool):
    """What a node of the pool offers to pods: GKE keeps something for itself."""
    cpus, gigabytes = _machine_size(pool.config.machine_type)
    gpus = sum(accelerator.accelerator_count for accelerator in pool.config.accelerators)
    return {
        "cpu": Decimal(cpus) - Decimal("0.1"),
        "memory": Decimal(gigabytes * GI * 9 // 10),
        GPU: Decimal(gpus),
    }


def _machine_size(machine_type):
    family, _, number = machine_type.rpartition("-")
    if machine_type in SIZES:
        return SIZES[machine_type]
    if number.endswith("g"):  # so many GPUs, each with its share of the machine
        return tuple(int(number[:-1]) * part for part in SIZES[f"{family}-1g"])
    return int(number), 4 * int(number)


def requests(pod):
    """CPUs, bytes and GPUs that its containers ask for together."""
    total = dict.fromkeys(("cpu", "memory", GPU), Decimal(0))
    for container in pod["spec"]["containers"]:
        asked = container.get("resources", {})
        asked = {**asked.get("limits", {}), **asked.get("requests", {})}
        total = {key: total[key] + _number(asked.get(key, "0")) for key in total}
    return total


def fits(pod, labels, node_taints):
    """Whether selector, required node affinity and tolerations of a pod allow such a node.

    A node label that is not known yet, the zone, is left to the scheduler.
    """
    spec = pod["spec"]
    if any(labels.get(key) != value for key, value in spec.get("nodeSelector", {}).items()):
        return False
    required = (
        spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    )
    terms = required["nodeSelectorTerms"] if required else [{}]
    if not any(all(_matches(e, labels) for e in term.get("matchExpressions", ())) for term in terms):
        return False
    return all(any(_tolerates(t, taint) for t in spec.get("tolerations", ())) for taint in node_taints)


def _goes_on(pod, pool):
    """Whether an empty node of the pool would do for the pod."""
    return fits(pod, node_labels(pool, ""), taints(pool)) and _covers(size(pool), requests(pod))


def _matches(expression, labels):
    value, values = labels.get(expression["key"]), expression.get("values", ())
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[expression["operator"]]


def _tolerates(toleration, taint):
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("key") not in (None, "", taint["key"]):
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value") == taint["value"]


def _is_unschedulable(pod):
    return not pod["metadata"].get("deletionTimestamp") and any(
        condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable"
        for condition in pod["status"].get("conditions", ())
    )


def _is_of_a_daemon_set(pod):
    return any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences", ()))


def _covers(room, needs):
    return all(room[key] >= needs[key] for key in needs)


def _number(quantity):
    text = str(quantity)
    for unit, factor in sorted(UNITS.items(), key=lambda item: -len(item[0])):
        if text.endswith(unit):
            return Decimal(text.removesuffix(unit)) * factor
    return Decimal(text)
