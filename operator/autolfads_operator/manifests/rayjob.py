"""The RayJob of one attempt; pure.

HTTPMode, because the other modes take a dropped log connection for the end of the training. No retries
of KubeRay's: it cannot tell bad data from a lost machine, and we can. The cluster starts with the head
alone: when that is ready, KubeRay submits the driver, which checks the recording, and only then are
workers asked for (`actions.ScaleWorkers`, on the RayCluster: KubeRay leaves such a change alone).

With `authOptions.mode: token` KubeRay makes a Secret named like the RayCluster, gives its token to every
pod as RAY_AUTH_TOKEN, and reads it for its own calls; neither we nor the pods' service account see it.
It needs `rayVersion` for that, and chooses its probes by it.
"""

import math
from typing import Any

from autolfads_operator.manifests import names, pods
from autolfads_operator.observed import CustomResource
from autolfads_operator.terms import Terms
from autolfads_spec.lifecycle import seconds
from autolfads_spec.run import AutoLFADSRun

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


def ray_job(
    resource: CustomResource, run: AutoLFADSRun, attempt: int, terms: Terms, seconds_left: float
) -> dict[str, Any]:
    """The RayJob of an attempt.

    Args:
      resource: whose attempt it is.
      run: its spec.
      attempt: its number.
      terms: the operator's settings.
      seconds_left: until KubeRay ends the job even if there is no operator to do so, waiting for machines
        included. It and the time for machines stay as they are now, whatever becomes of the spec.
    """
    spec, schedule = run.spec, run.spec.schedule
    metadata = names.metadata(resource, run, attempt)
    if spec.compute.queue_name is not None:
        metadata["labels"][QUEUE_LABEL] = spec.compute.queue_name
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": metadata,
        "spec": {
            "submissionMode": "HTTPMode",
            "jobId": metadata["name"],
            "entrypoint": f"python -m lfads_worker run {names.CONFIG_FOLDER}/{names.CONFIG_FILE} "
            f"--attempt {attempt} --log-format json",
            "backoffLimit": 0,
            "activeDeadlineSeconds": max(60, math.ceil(seconds_left)),
            "preRunningDeadlineSeconds": seconds(schedule.provisioning_timeout),
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": seconds(spec.ttl.cluster_after_finished),
            "rayClusterSpec": _cluster(resource, run, attempt, terms),
        },
    }


def first_replicas(run: AutoLFADSRun) -> int:
    """Workers to create the cluster with: none, but for Kueue, which admits what it sees at the start."""
    return run.spec.compute.workers.desired if run.spec.compute.queue_name is not None else 0


def _cluster(resource: CustomResource, run: AutoLFADSRun, attempt: int, terms: Terms) -> dict[str, Any]:
    return {
        "rayVersion": terms.ray_version,
        "enableInTreeAutoscaling": False,
        "authOptions": {"mode": "token"},
        "headGroupSpec": {
            "rayStartParams": pods.head_start_parameters(),
            "template": pods.head(resource, run, attempt, terms),
        },
        "workerGroupSpecs": [
            {
                "groupName": names.WORKER_GROUP,
                "replicas": first_replicas(run),
                "minReplicas": 0,
                "maxReplicas": run.spec.compute.workers.desired,
                "rayStartParams": pods.worker_start_parameters(run.spec.compute),
                "template": pods.worker(resource, run, attempt, terms),
            }
        ],
    }
