"""Lists beside the watches: all objects before the first look, names from time to time.

A watch tells what changes while it stands. What happened while none stood, above all a deletion, only a
list can tell.
"""

import logging

from autolfads_operator.api import KubeApi, NotServedError
from autolfads_operator.cache import KINDS, Cache
from autolfads_operator.kinds import RUNS, Kind, Object
from autolfads_operator.manifests.names import ALL_RUNS_SELECTOR
from autolfads_operator.reconcile import Reconciler

logger = logging.getLogger(__name__)


async def fill(api: KubeApi, cache: Cache, reconciler: Reconciler, namespaces: tuple[str, ...]) -> None:
    """Everything that is there, what was made for runs before the runs: their first look sees all of it."""
    for kind in (*KINDS, RUNS):
        for namespace in namespaces or (None,):
            for thing in await _there(api, kind, namespace):
                cache.put(kind, thing)
    for uid in cache.uids(RUNS):
        entry = cache.run(uid)
        if entry is not None:
            reconciler.note(entry)
    logger.info("%d objects seen, %d of them runs", len(cache), len(cache.uids(RUNS)))


async def compare(
    api: KubeApi,
    cache: Cache,
    reconciler: Reconciler,
    namespaces: tuple[str, ...],
    unserved: set[Kind],
) -> int:
    """Drop what is gone without a watch having told; how many objects that were.

    An API server that has just started may serve a kind of KubeRay's a moment late, and what is dropped does
    not come back: such objects are taken for gone when their kind is not served twice in a row. `unserved`
    holds the kinds that were not served the last time, and is brought up to date here.

    Raises:
      NotServedError: runs are not served. Taken for the end of all runs it would end their loops.
    """
    dropped = 0
    for kind in (*KINDS, RUNS):
        before = cache.uids(kind)
        try:
            listed = await _names(api, kind, namespaces)
        except NotServedError:
            if kind == RUNS:
                raise
            if kind not in unserved:
                unserved.add(kind)
                continue
            listed = []
        else:
            unserved.discard(kind)
        for entry in cache.retain(before, (thing["metadata"]["uid"] for thing in listed)):
            dropped += 1
            logger.warning("%s %s/%s is gone, and no watch told", kind.kind, entry.namespace, entry.name)
            reconciler.note(entry, gone=True)
    return dropped


async def _names(api: KubeApi, kind: Kind, namespaces: tuple[str, ...]) -> list[Object]:
    return [
        thing
        for namespace in namespaces or (None,)
        for thing in await api.list_names(kind, namespace, _labels(kind))
    ]


async def _there(api: KubeApi, kind: Kind, namespace: str | None) -> list[Object]:
    """Objects of a kind; none where there is no KubeRay.

    Raises:
      NotServedError: runs are not served.
    """
    try:
        return await api.list_all(kind, namespace, _labels(kind))
    except NotServedError:
        if kind == RUNS:
            raise
        return []


def _labels(kind: Kind) -> str | None:
    return None if kind == RUNS else ALL_RUNS_SELECTOR
