"""The operator in numbers: its own metrics and the processor time of everybody, every few seconds.

And what becomes of them over a stretch of time: rates of counters, quantiles of a histogram.
"""

import contextlib
import dataclasses
import datetime
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from kube.operator_process import OperatorProcess

EVERY_SECONDS = 5.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One moment.

    Attributes:
      at: seconds since 1970.
      metrics: of the operator, by name and labels as in its page; without those of single runs.
      cpu_seconds: used so far by each process, by name.
      machine_seconds: that all processors of the machine have worked so far, for anybody.
    """

    at: float
    metrics: Mapping[str, float]
    cpu_seconds: Mapping[str, float]
    machine_seconds: float

    def sum(self, name: str) -> float:
        """Of a metric over all its labels."""
        return sum(value for key, value in self.metrics.items() if key.partition("{")[0] == name)


class Sampler:
    """Samples until it is closed.

    Args:
      processes: whose processor time is looked at: process ids by name.
    """

    def __init__(self, processes: Callable[[], Mapping[str, int]]) -> None:
        self.samples: list[Sample] = []
        self.operator: OperatorProcess | None = None
        self._processes = processes
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="sampler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join(timeout=15)

    def take(self) -> None:
        """One more, now; nothing while the operator does not answer."""
        operator = self.operator
        if operator is None:
            return
        code, page = operator.ask("/metrics")
        if code != 200:
            return
        with contextlib.suppress(OSError, ValueError):  # a process has ended meanwhile
            seconds = {name: cpu_seconds(pid) for name, pid in self._processes().items()}
            self.samples.append(Sample(time.time(), metrics_of(page), seconds, machine_seconds()))

    def _follow(self) -> None:
        while not self._closed.wait(EVERY_SECONDS):
            self.take()

    def between(self, began: float, ended: float) -> list[Sample]:
        """In order; the operator is the same one in all of them."""
        return [sample for sample in list(self.samples) if began <= sample.at <= ended]


def metrics_of(page: str) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(page):
        if family.name.startswith("autolfads_run_"):
            continue
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def machine_seconds() -> float:
    words = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:]
    user, nice, system, _idle, _wait, interrupts, soft = (int(word) for word in words[:7])
    return (user + nice + system + interrupts + soft) / TICKS


def histogram_quantiles(
    first: Sample, last: Sample, name: str, quantiles: Sequence[float]
) -> list[float | None]:
    """Of what was observed between two samples, as Prometheus reckons: even within each bucket."""
    counts = sorted(
        (float(key.partition('le="')[2].partition('"')[0]), value - first.metrics.get(key, 0.0))
        for key, value in last.metrics.items()
        if key.startswith(f"{name}_bucket")
    )
    total = counts[-1][1] if counts else 0.0
    return [_quantile(counts, total * quantile) if total else None for quantile in quantiles]


def _quantile(counts: Sequence[tuple[float, float]], rank: float) -> float:
    below_edge, below = 0.0, 0.0
    for edge, count in counts:
        if count >= rank and count > below:
            if edge == float("inf"):
                return below_edge
            return below_edge + (edge - below_edge) * (rank - below) / (count - below)
        below_edge, below = edge, count
    return below_edge


class Call(NamedTuple):
    """A request to the API server; a watch is one."""

    at: float
    verb: str
    resource: str
    seconds: float  # until the server had answered


def asked(audit_log: Path) -> list[Call]:
    """What the API server was asked, in its order."""
    found, known = [], set()
    for line in audit_log.read_text(encoding="utf-8").splitlines():
        if not line.endswith("}"):  # half written
            continue
        event = json.loads(line)
        if event["auditID"] in known:
            continue
        known.add(event["auditID"])
        at, answered = (
            datetime.datetime.fromisoformat(event[name]).timestamp()
            for name in ("requestReceivedTimestamp", "stageTimestamp")
        )
        what = event.get("objectRef") or {}
        resource = "/".join(word for word in (what.get("resource"), what.get("subresource")) if word)
        found.append(Call(at, event["verb"], resource or "what is served", answered - at))
    return found


def per_minute(calls: Sequence[Call], began: float, ended: float) -> dict[str, dict[str, float]]:
    """Calls a minute, by verb and by verb and resource."""
    minutes = (ended - began) / 60
    here = [call for call in calls if began <= call.at < ended]
    verbs = Counter(call.verb for call in here)
    both = Counter(f"{call.verb} {call.resource}" for call in here)
    return {
        "by_verb": {name: number / minutes for name, number in verbs.most_common()},
        "by_verb_and_resource": {name: number / minutes for name, number in both.most_common()},
    }
