"""`python -m autolfads_operator.drain`: before the operator is uninstalled, give back what runs hold.

    suspend runs → wait while drivers commit → take the Lease → delete RayJobs and node pools → finalizers

While drivers are waited for the operator is still there, and pauses each run as it always does. Then the
Lease is taken from it, so that it puts back nothing, what is left is deleted, and our finalizer is taken off
every run: nobody could do that later. Runs, results and the kind itself stay; after another installation a
run goes on when its `suspend` is set to false.

Every look decides anew (`draining`, pure), so it may be killed and started again. It ends after `--seconds`
whatever is left; node pools cost money, so when there are any it ends with 1.
"""

import argparse
import asyncio
import contextlib
import datetime
import logging
import sys
import time
from collections.abc import Sequence

from autolfads_operator import log, settings
from autolfads_operator.api import KubeApi, NotServedError
from autolfads_operator.cloud_side import named
from autolfads_operator.draining import Clock, DrainedRun, Seen, Steps, decided, job_of, name_of, run_of
from autolfads_operator.errors import CloudError, OperatorError, OutdatedError, RefusedError
from autolfads_operator.gke import ClusterManager, insecure
from autolfads_operator.kinds import LEASES, PODS, RAY_CLUSTERS, RAY_JOBS, RUNS, Kind, Object
from autolfads_operator.leadership import Leadership
from autolfads_operator.manifests.names import ALL_RUNS_SELECTOR, FINALIZER
from autolfads_operator.metrics import Metrics
from autolfads_operator.observed import NodePool
from autolfads_operator.settings import OperatorSettings
from autolfads_spec import AutoLFADSError

logger = logging.getLogger("autolfads_operator.drain")

PAUSE_SECONDS = 1.0
LATE_SECONDS = 30  # the Job of the chart gives a minute more than it tells us


class Drain:
    """Carries it out.

    Args:
      cloud: node pools; None when none are managed.
    """

    def __init__(self, chosen: OperatorSettings, api: KubeApi, cloud: ClusterManager | None) -> None:
        self._settings, self._api, self._cloud = chosen, api, cloud
        self._leadership = Leadership(
            api,
            chosen.lease_namespace,
            chosen.lease_name,
            chosen.identity,
            chosen.lease_seconds,
            chosen.lease_renew_seconds,
            chosen.lease_give_up_seconds,
            monotonic=time.monotonic,
            now=lambda: datetime.datetime.now(datetime.UTC),
        )
        self._lease_seen: tuple[str, float] = ("", time.monotonic())
        self._keep: asyncio.Task[None] | None = None
        self._is_alone = False

    async def run(self, pause_seconds: float, seconds: float) -> bool:
        """All of it, within the time; whether no node pool is left."""
        began = time.monotonic()
        try:
            while True:
                elapsed = time.monotonic() - began
                if self._keep is not None and self._keep.done():
                    self._keep.result()  # somebody else has taken the Lease
                try:
                    clock = Clock(elapsed, pause_seconds, seconds, self._is_alone, await self._is_silent())
                    seen = await self._look()
                    steps = decided(seen, clock)
                    if steps.is_done:
                        return await self._end(seen)
                    await self._do(steps)
                    if steps.take_lease:
                        await self._take_lease()
                except OperatorError as error:
                    if elapsed > seconds + LATE_SECONDS:  # Kubernetes itself does not answer
                        raise
                    logger.warning("%s", error)
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            if self._keep is not None:
                self._keep.cancel()

    async def _look(self) -> Seen:
        runs = [run_of(thing) for thing in await self._list(RUNS)]
        jobs = await self._list(RAY_JOBS)
        machines = {"RayCluster": await self._list(RAY_CLUSTERS), "pod": await self._list(PODS)}
        left = [
            f"{kind} {name_of(thing)}"
            for kind, found in ({"RayJob": jobs} | machines).items()
            for thing in found
        ]
        pools, problem = await self._pools()
        return Seen(tuple(runs), tuple(job_of(thing) for thing in jobs), tuple(left), pools, problem)

    async def _pools(self) -> tuple[tuple[NodePool, ...], str]:
        """Those of this installation, or why nobody knows: no reason to keep finalizers for ever."""
        if self._cloud is None:
            return (), ""
        try:
            return await self._cloud.node_pools(), ""
        except CloudError as error:
            logger.warning("%s", error)
            return (), str(error)

    async def _list(self, kind: Kind) -> list[Object]:
        labels = None if kind == RUNS else ALL_RUNS_SELECTOR
        found: list[Object] = []
        for namespace in self._settings.namespaces or (None,):
            with contextlib.suppress(NotServedError):  # gone with its CRD: there is nothing to wait for
                found += await self._api.list_all(kind, namespace, labels)
        return found

    async def _do(self, steps: Steps) -> None:
        for run in steps.suspend:
            logger.info("%s: suspended; set spec.suspend to false to go on after another installation", run)
            await self._change(run, {"op": "add", "path": "/spec/suspend", "value": True})
        for job in steps.delete_jobs:
            logger.info("RayJob %s/%s: deleted", job.namespace, job.name)
            await self._api.delete(RAY_JOBS, job.namespace, job.name, job.uid)
        if self._cloud is not None:
            for pool in steps.delete_pools:
                await self._delete_pool(self._cloud, pool)
        for run in steps.release:
            await self._release(run)

    async def _delete_pool(self, cloud: ClusterManager, pool: NodePool) -> None:
        """One at a time is all that GKE takes; the others wait for the next look."""
        try:
            await cloud.delete(pool.name, pool.etag)
        except (CloudError, OutdatedError) as error:
            logger.info("%s", error)

    async def _release(self, run: DrainedRun) -> None:
        """Take our finalizer off, and leave those of others."""
        found = await self._api.get(RUNS, run.namespace, run.name)
        if found is None or found["metadata"]["uid"] != run.uid:
            return
        others = [each for each in found["metadata"].get("finalizers") or () if each != FINALIZER]
        version = found["metadata"]["resourceVersion"]
        logger.info("%s: released", run)
        await self._change(
            run,
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/metadata/finalizers", "value": others},
        )

    async def _change(self, run: DrainedRun, *operations: Object) -> None:
        same = {"op": "test", "path": "/metadata/uid", "value": run.uid}
        try:
            await self._api.patch(RUNS, run.namespace, run.name, (same, *operations))
        except RefusedError as error:
            logger.warning("%s: not changed, tried again: %s", run, error)

    async def _is_silent(self) -> bool:
        """Whether nobody has renewed the Lease for as long as it runs, or nobody holds it."""
        found = await self._api.get(LEASES, self._settings.lease_namespace, self._settings.lease_name)
        if found is None or not (found.get("spec") or {}).get("holderIdentity"):
            return True
        version, now = found["metadata"]["resourceVersion"], time.monotonic()
        if version != self._lease_seen[0]:
            self._lease_seen = (version, now)
        return now - self._lease_seen[1] > self._settings.lease_seconds

    async def _take_lease(self) -> None:
        """Take it from the operator, and wait until that one cannot act any more."""
        found = await self._api.get(LEASES, self._settings.lease_namespace, self._settings.lease_name)
        holder = (found or {}).get("spec", {}).get("holderIdentity")
        if found is not None and holder:
            spec = {**found["spec"], "holderIdentity": self._settings.identity}
            await self._api.replace(LEASES, self._settings.lease_namespace, {**found, "spec": spec})
        await self._leadership.acquire()
        self._keep = asyncio.create_task(self._leadership.keep())
        if holder:
            logger.info("the Lease is taken from %s; waiting until it has stopped", holder)
            await asyncio.sleep(self._settings.lease_give_up_seconds)
        self._is_alone = True

    async def _end(self, seen: Seen) -> bool:
        for words in seen.left:
            logger.warning("%s is still there; it belongs to its run, and Kubernetes takes it away", words)
        for pool in seen.pools:
            logger.error(
                "node pool %s is still there (%s) and may cost money; call helm uninstall again with more "
                "time (--timeout, drain.seconds), or delete it: gcloud container node-pools delete %s",
                pool.name,
                pool.status,
                pool.name,
            )
        if seen.pools_problem:
            logger.error(
                "it is not known whether node pools are left (%s); look: gcloud container node-pools list",
                seen.pools_problem,
            )
        if seen.pools or seen.pools_problem:
            await self._leadership.release()  # the operator stays, and goes on looking after them
            return False
        return True


async def _drain(chosen: OperatorSettings, pause_seconds: float, seconds: float) -> bool:
    async with await KubeApi.connect(chosen, Metrics()) as api:
        cloud = await _cloud(chosen, api)
        try:
            return await Drain(chosen, api, cloud).run(pause_seconds, seconds)
        finally:
            if cloud is not None:
                await cloud.close()


async def _cloud(chosen: OperatorSettings, api: KubeApi) -> ClusterManager | None:
    if not chosen.cluster:
        return None
    install = (await named(chosen, api)).install_id
    endpoint = chosen.cluster_manager_endpoint
    return ClusterManager(chosen.cluster, install, insecure(endpoint) if endpoint else None)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 when no node pool is left."""
    parser = argparse.ArgumentParser(prog="python -m autolfads_operator.drain", description=__doc__)
    parser.add_argument(
        "--pause-seconds", type=float, default=120, help="for drivers to commit (default: 120)"
    )
    parser.add_argument("--seconds", type=float, default=240, help="for all of it (default: 240)")
    options = parser.parse_args(arguments)
    try:
        chosen = settings.load()
        log.start(chosen.log_level, "text")
        return 0 if asyncio.run(_drain(chosen, options.pause_seconds, options.seconds)) else 1
    except AutoLFADSError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
