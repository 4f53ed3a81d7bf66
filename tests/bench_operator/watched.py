"""What a user with `kubectl get -w` sees of all runs, with the time at which it is seen."""

import collections
import contextlib
import threading
import time

import urllib3
from kubernetes import client, watch

from bench_operator.laboratory import RUNS


class Watched:
    """Follows all runs until it is closed; the API server's answers are the only source."""

    def __init__(self, api: client.ApiClient) -> None:
        self._shown: dict[str, list[tuple[int, float]]] = collections.defaultdict(list)
        self._phases: dict[str, str] = {}
        self._api = client.CustomObjectsApi(api)
        self._is_closed = False
        self._thread = threading.Thread(target=self._follow, name="watch", daemon=True)
        self._thread.start()

    @property
    def phases(self) -> collections.Counter[str]:
        """How many runs are in each phase."""
        return collections.Counter(list(self._phases.values()))

    def lag_seconds(self, run: str, generation: int, at: float) -> float | None:
        """How long after a commit a status first showed it, or a later one; None when none did."""
        shown = (seen for number, seen in list(self._shown[run]) if number >= generation)
        first = next(shown, None)
        return None if first is None else first - at

    def close(self) -> None:
        self._is_closed = True
        self._thread.join(timeout=15)

    def _follow(self) -> None:
        while not self._is_closed:
            self._phases.clear()  # what is gone is not told again
            stream = watch.Watch().stream(
                self._api.list_namespaced_custom_object, *RUNS, timeout_seconds=600, _request_timeout=(10, 10)
            )
            # Silence for ten seconds, or a version that is too old: from the beginning.
            with contextlib.suppress(urllib3.exceptions.HTTPError, client.ApiException):
                for event in stream:
                    self._note(event["type"], event["object"])
                    if self._is_closed:
                        return

    def _note(self, kind: str, run: dict) -> None:
        now = time.time()
        name, status = run["metadata"]["name"], run.get("status") or {}
        if kind == "DELETED":
            self._phases.pop(name, None)
            return
        self._phases[name] = status.get("phase", "")
        generation = (status.get("progress") or {}).get("generation")
        if generation is not None:
            shown = self._shown[name]
            if not shown or shown[-1][0] < generation:
                shown.append((generation, now))
