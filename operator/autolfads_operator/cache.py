"""What watches have shown of the runs and of all that is made for them, so that a look at a run asks nobody.

Kopf's watches feed it, and so do the answers to our own writes. A watch can be late and, after a broken
connection, silent about a deletion; so the newest version of an object wins, what was deleted stays
deleted, and `reconcile` lists the names from time to time (`retain`).
"""

import collections
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autolfads_operator import objects
from autolfads_operator.kinds import PODS, RAY_CLUSTERS, RAY_JOBS, RUNS, Kind
from autolfads_operator.observed import PodRole

Object = Mapping[str, Any]
KINDS = (RAY_JOBS, RAY_CLUSTERS, PODS)
_PARSERS: Mapping[Kind, Callable[[Object], Any]] = {
    RAY_JOBS: objects.ray_job_of,
    RAY_CLUSTERS: objects.ray_cluster_of,
    PODS: objects.pod_of,
}
_GRAVES = 10_000  # deletions remembered: a late answer of a write must not bring an object back


@dataclass(frozen=True)
class Entry:
    """One object, reduced to what is decided from.

    Attributes:
      run_uid: of the run it belongs to; for a run, its own.
      value: of `observed`; for a run the object itself, without what others keep in its metadata and
        what others have written into its status.
    """

    kind: Kind
    namespace: str
    name: str
    uid: str
    version: int
    run_uid: str
    value: Any


class Cache:
    """All runs and what was made for them, by uid."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._of_run: dict[str, set[str]] = collections.defaultdict(set)
        self._graves: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._lost: dict[str, set[str]] = collections.defaultdict(set)

    def put(self, kind: Kind, thing: Object) -> Entry | None:
        """Take note of an object; its entry when that is news, None when nothing of interest changed."""
        entry = _entry(kind, thing)
        if entry is None or entry.uid in self._graves:
            return None
        known = self._entries.get(entry.uid)
        if known is not None and known.version > entry.version:
            return None
        self._entries[entry.uid] = entry
        self._of_run[entry.run_uid].add(entry.uid)
        return None if known is not None and known.value == entry.value else entry

    def drop(self, uid: str) -> Entry | None:
        """Take note that an object is gone; its last entry, None when it was not known."""
        self._graves[uid] = None
        if len(self._graves) > _GRAVES:
            self._graves.popitem(last=False)
        entry = self._entries.pop(uid, None)
        if entry is not None:
            self._note_loss(entry)
            self._of_run[entry.run_uid].discard(uid)
            if not self._of_run[entry.run_uid]:
                del self._of_run[entry.run_uid]
        return entry

    def run(self, uid: str) -> Entry | None:
        """The run of this uid."""
        found = self._entries.get(uid)
        return found if found is not None and found.kind == RUNS else None

    def made_for(self, run_uid: str, kind: Kind) -> list[Entry]:
        """Objects of a kind that were made for a run, by name."""
        found = (self._entries[uid] for uid in self._of_run.get(run_uid, ()))
        return sorted((entry for entry in found if entry.kind == kind), key=lambda entry: entry.name)

    def workers_lost(self, run_uid: str) -> frozenset[str]:
        """Names of a run's workers whose machines were taken away, also of those that are gone since."""
        pods = (entry for entry in self.made_for(run_uid, PODS) if _is_lost_worker(entry))
        return frozenset(self._lost.get(run_uid, ())) | {entry.name for entry in pods}

    def forget_lost(self, run_uid: str, names: Iterable[str]) -> None:
        """These are written down; those of them that are gone need not be remembered any more."""
        if run_uid in self._lost:
            self._lost[run_uid] -= set(names)
            if not self._lost[run_uid]:
                del self._lost[run_uid]

    def _note_loss(self, entry: Entry) -> None:
        """KubeRay deletes a lost worker at once; its loss is remembered until a status has it."""
        if entry.kind == RUNS:
            self._lost.pop(entry.uid, None)
        elif _is_lost_worker(entry) and self.run(entry.run_uid) is not None:
            self._lost[entry.run_uid].add(entry.name)

    def uids(self, kind: Kind) -> set[str]:
        """Of all objects of a kind."""
        return {uid for uid, entry in self._entries.items() if entry.kind == kind}

    def __len__(self) -> int:
        return len(self._entries)

    def retain(self, before: Iterable[str], listed: Iterable[str]) -> list[Entry]:
        """Drop what was known before a list was asked for and is not on it; the entries dropped."""
        gone = set(before) - set(listed)
        return [entry for entry in map(self.drop, gone) if entry is not None]


def _is_lost_worker(entry: Entry) -> bool:
    return entry.kind == PODS and entry.value.role is PodRole.WORKER and entry.value.was_taken_away


def _entry(kind: Kind, thing: Object) -> Entry | None:
    metadata = thing["metadata"]
    value: Any
    if kind == RUNS:
        run_uid, value = metadata["uid"], _lean(thing)
    else:
        run_uid, value = objects.run_uid_of(thing), _PARSERS[kind](thing)
    if run_uid is None or value is None:
        return None
    return Entry(
        kind=kind,
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        version=int(metadata["resourceVersion"]),
        run_uid=run_uid,
        value=value,
    )


def _lean(run: Object) -> dict[str, Any]:
    metadata = {
        key: value
        for key, value in run["metadata"].items()
        if key not in ("managedFields", "resourceVersion", "selfLink")
    }
    return {**run, "metadata": metadata, "status": objects.own_status(run)}
