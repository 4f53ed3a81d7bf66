"""Lists beside the watches: all objects before the first look, names from time to time.

A watch tells what changes while it stands. What happened while none stood, above all a deletion, only a
list can tell.
"""

import logging
from collections.abc import Awaitable

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
            for thing in await _seen(kind, api.list_all(kind, namespace, _labels(kind))):
                cache.put(kind, thing)
    for uid in cache.uids(RUNS):
        entry = cache.run(uid)
        if entry is not None:
            reconciler.note(entry)
    logger.info("%d objects seen, %d of them runs", len(cache), len(cache.uids(RUNS)))


async def compare(api: KubeApi, cache: Cache, reconciler: Reconciler, namespaces: tuple[str, ...]) -> int:
    """Drop what is gone without a watch having told; how many objects that were."""
    dropped = 0
    for kind in (*KINDS, RUNS):
        before = cache.uids(kind)
        listed: list[Object] = []
        for namespace in namespaces or (None,):
            listed += await _seen(kind, api.list_names(kind, namespace, _labels(kind)))
        for entry in cache.retain(before, (thing["metadata"]["uid"] for thing in listed)):
            dropped += 1
            logger.warning("%s %s/%s is gone, and no watch told", kind.kind, entry.namespace, entry.name)
            reconciler.note(entry, gone=True)
    return dropped


async def _seen(kind: Kind, asked: Awaitable[list[Object]]) -> list[Object]:
    """What a list shows; nothing where there is no KubeRay.

    That runs are not served for a moment is no answer: taken for the end of all runs it would end their
    loops, and a run that is gone once does not come back.

    Raises:
      NotServedError: where runs are not served.
    """
    try:
        return await asked
    except NotServedError:
        if kind == RUNS:
            raise
        return []


def _labels(kind: Kind) -> str | None:
    return None if kind == RUNS else ALL_RUNS_SELECTOR
