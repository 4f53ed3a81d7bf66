"""Carries out the actions that `plan` decided: one function for each, and the write of the status.

Each can be repeated, by this operator or by another, without a second effect. One that finds the world
otherwise than it was observed raises `OutdatedError`. Which action may follow which is `plan`'s business.
"""

import collections
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from autolfads_operator import actions, objects
from autolfads_operator.api import KubeApi, NotServedError
from autolfads_operator.cache import Cache
from autolfads_operator.cloud import CloudView, Clusters
from autolfads_operator.errors import CloudError, OperatorError, OutdatedError, RefusedError
from autolfads_operator.kinds import CONFIG_MAPS, EVENTS, RAY_CLUSTERS, RAY_JOBS, RUNS
from autolfads_operator.manifests.names import FIELD_MANAGER
from autolfads_operator.metrics import Metrics
from autolfads_operator.observed import CustomResource
from autolfads_operator.reports import Reports
from autolfads_spec.errors import ConflictError, DeniedError, StoreError
from autolfads_spec.status import RunStatus

logger = logging.getLogger(__name__)

LONGEST_NOTE = 1000  # characters of an event's message that Kubernetes takes are 1024
_POSTED = 10_000  # events remembered, so that repeating one costs no request


class Actor:
    """Does things for runs.

    Args:
      instance: name of this process, for the events it posts.
      now: UTC as Kubernetes writes it.
      cloud: where node pools are made; None when none are.
    """

    def __init__(
        self,
        api: KubeApi,
        cache: Cache,
        reports: Reports,
        metrics: Metrics,
        instance: str,
        now: Callable[[], str],
        cloud: CloudView | None = None,
    ) -> None:
        self._api, self._cache, self._reports, self._metrics = api, cache, reports, metrics
        self._instance, self._now, self._cloud = instance, now, cloud
        self._posted: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._doers: Mapping[type, Callable[[Any, CustomResource], Awaitable[None]]] = {
            actions.WriteLease: self._write_lease,
            actions.WriteWish: self._write_wish,
            actions.WriteCost: self._write_cost,
            actions.ApplyConfigMap: self._apply_config_map,
            actions.ApplyRayJob: self._apply_ray_job,
            actions.ScaleWorkers: self._scale_workers,
            actions.DeleteRayJob: self._delete_ray_job,
            actions.AddFinalizer: self._add_finalizer,
            actions.RemoveFinalizer: self._remove_finalizer,
            actions.PostEvent: self._post_event,
            actions.RemoveRun: self._remove_run,
            actions.CreateNodePool: self._create_node_pool,
            actions.ResizeNodePool: self._resize_node_pool,
            actions.DeleteNodePool: self._delete_node_pool,
        }

    async def carry_out(self, action: actions.Action, run: CustomResource) -> None:
        """Do one thing for a run.

        Raises:
          OperatorError: if Kubernetes did not do it; OutdatedError if it is not to be done any more.
          StoreError: if the output folder did not take it.
        """
        await self._doers[type(action)](action, run)
        self._metrics.actions.labels(type(action).__name__).inc()

    async def write_status(self, run: CustomResource, status: RunStatus) -> None:
        """Make these fields of the status what they should be, and leave those of others alone."""
        body = {
            "metadata": {"name": run.name, "uid": run.uid},
            "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        try:
            self._cache.put(RUNS, await self._api.apply(RUNS, run.namespace, body, "status"))
        except NotServedError:
            return  # gone, with nobody left to be told
        self._metrics.status_writes.inc()

    async def _write_lease(self, action: actions.WriteLease, run: CustomResource) -> None:
        try:
            await self._reports.write_lease(_address(run), action.lease, action.expected)
        except (ConflictError, DeniedError) as error:  # that it is not allowed is observed at the next look
            raise OutdatedError(str(error)) from error

    async def _write_wish(self, action: actions.WriteWish, run: CustomResource) -> None:
        try:
            await self._reports.write_wish(_address(run), action.wish)
        except DeniedError as error:
            raise OutdatedError(str(error)) from error

    async def _write_cost(self, action: actions.WriteCost, run: CustomResource) -> None:
        """Kept at the next look if not now: nothing is worth waiting for a sum of money on paper."""
        try:
            await self._reports.write_cost(_address(run), action.record, action.expected)
        except StoreError as error:
            logger.warning("cost not kept: %s", error)

    async def _apply_config_map(self, action: actions.ApplyConfigMap, run: CustomResource) -> None:
        try:
            await self._api.apply(CONFIG_MAPS, run.namespace, action.manifest)
        except RefusedError as error:
            name = action.manifest["metadata"]["name"]
            found = await self._api.get(CONFIG_MAPS, run.namespace, name)
            if found is None or found.get("data") == action.manifest.get("data"):
                raise
            raise OutdatedError(
                f"wanted ConfigMap {name} of this run, found another one that cannot be changed; delete it"
            ) from error

    async def _apply_ray_job(self, action: actions.ApplyRayJob, run: CustomResource) -> None:
        name = action.manifest["metadata"]["name"]
        lease = await self._reports.lease(_address(run))
        if lease is None or lease.document is None or lease.document.attempt != action.attempt:
            raise OutdatedError(
                f"wanted lease.json to name attempt {action.attempt} before its RayJob is made, found "
                f"{None if lease is None or lease.document is None else lease.document.attempt}; looking anew"
            )
        found = await self._api.get(RAY_JOBS, run.namespace, name)
        if found is not None and objects.run_uid_of(found) != run.uid:
            raise OutdatedError(
                f"wanted to make RayJob {name}, found one of another run; it is waited for until it is gone"
            )
        if found is None:
            found = await self._api.apply(RAY_JOBS, run.namespace, action.manifest)
        self._cache.put(RAY_JOBS, found)

    async def _scale_workers(self, action: actions.ScaleWorkers, run: CustomResource) -> None:
        group = "/spec/workerGroupSpecs/0"
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": f"{group}/groupName", "value": action.group},
            {"op": "add", "path": f"{group}/maxReplicas", "value": action.replicas},
            {"op": "add", "path": f"{group}/replicas", "value": action.replicas},
        ]
        try:
            found = await self._api.patch(RAY_CLUSTERS, run.namespace, action.cluster, operations)
        except RefusedError as error:
            raise OutdatedError(str(error)) from error
        if found is None:
            raise OutdatedError(f"wanted RayCluster {action.cluster}, found none; looking anew")
        self._cache.put(RAY_CLUSTERS, found)

    async def _delete_ray_job(self, action: actions.DeleteRayJob, run: CustomResource) -> None:
        await self._api.delete(RAY_JOBS, run.namespace, action.name, action.uid)

    async def _add_finalizer(self, action: actions.AddFinalizer, run: CustomResource) -> None:
        await self._change_finalizers(run, action.finalizer, wanted=True)

    async def _remove_finalizer(self, action: actions.RemoveFinalizer, run: CustomResource) -> None:
        await self._change_finalizers(run, action.finalizer, wanted=False)

    async def _change_finalizers(self, run: CustomResource, finalizer: str, wanted: bool) -> None:
        """Change one entry of a list that others write too, provided that nobody did meanwhile."""
        found = await self._api.get(RUNS, run.namespace, run.name)
        if found is None or found["metadata"]["uid"] != run.uid:
            return  # gone, and its finalizers with it
        before = found["metadata"].get("finalizers") or []
        if (finalizer in before) == wanted:
            self._cache.put(RUNS, found)
            return
        others = [each for each in before if each != finalizer]
        after = [*others, finalizer] if wanted else others
        operations = [
            {
                "op": "test",
                "path": "/metadata/resourceVersion",
                "value": found["metadata"]["resourceVersion"],
            },
            {"op": "add", "path": "/metadata/finalizers", "value": after},
        ]
        try:
            changed = await self._api.patch(RUNS, run.namespace, run.name, operations)
        except RefusedError as error:
            raise OutdatedError(str(error)) from error
        if changed is None:  # left behind in a namespace that is gone, it would be tried for ever
            raise OutdatedError(f"wanted to change the finalizers of {run.name}, found it gone meanwhile")
        if wanted:
            self._cache.put(RUNS, changed)

    async def _post_event(self, action: actions.PostEvent, run: CustomResource) -> None:
        """Told once; an event that cannot be posted keeps nobody from going on."""
        if action.name in self._posted:
            return
        try:
            await self._api.create(EVENTS, run.namespace, self._event(action, run))
            self._metrics.events.labels(action.reason).inc()
        except NotServedError:
            return  # the namespace is gone
        except OutdatedError:
            pass  # told before
        except OperatorError as error:
            logger.warning("event %s not posted: %s", action.reason, error)
            return
        self._posted[action.name] = None
        if len(self._posted) > _POSTED:
            self._posted.popitem(last=False)

    def _event(self, action: actions.PostEvent, run: CustomResource) -> dict[str, Any]:
        now = self._now()
        return {
            "metadata": {"name": action.name, "namespace": run.namespace},
            "involvedObject": {
                "apiVersion": RUNS.api_version,
                "kind": RUNS.kind,
                "namespace": run.namespace,
                "name": run.name,
                "uid": run.uid,
            },
            "type": action.kind,
            "reason": action.reason,
            "message": action.message[:LONGEST_NOTE],
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": FIELD_MANAGER},
            "reportingComponent": FIELD_MANAGER,
            "reportingInstance": self._instance[:128],
        }

    async def _create_node_pool(self, action: actions.CreateNodePool, run: CustomResource) -> None:
        await self._change(action.pool.name, lambda clusters: clusters.create(action.pool))

    async def _resize_node_pool(self, action: actions.ResizeNodePool, run: CustomResource) -> None:
        await self._change(
            action.name, lambda clusters: clusters.resize(action.name, action.max_nodes, action.etag)
        )

    async def _delete_node_pool(self, action: actions.DeleteNodePool, run: CustomResource) -> None:
        await self._change(action.name, lambda clusters: clusters.delete(action.name, action.etag))

    async def _change(self, name: str, write: Callable[[Clusters], Awaitable[None]]) -> None:
        """One write to Google Cloud. What it answers is observed at the next look, so that `plan` decides."""
        if self._cloud is None:
            raise OutdatedError(f"wanted to change node pool {name}, found no cluster set; looking anew")
        try:
            await self._cloud.change(name, write)
        except CloudError as error:
            raise OutdatedError(str(error)) from error

    async def _remove_run(self, action: actions.RemoveRun, run: CustomResource) -> None:
        await self._api.delete(RUNS, run.namespace, run.name, action.uid)


def _address(run: CustomResource) -> str:
    if run.run is None:
        raise OutdatedError("wanted the address of the output folder, found no valid spec; looking anew")
    return run.run.spec.output.uri
