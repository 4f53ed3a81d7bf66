"""What Prometheus may ask the operator: one registry, every metric named and described here.

Labels namespace and run are on gauges of a run only, and go when the run goes (`forget`): counters with
the names of runs would grow for ever.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from autolfads_spec.status import Phase

__all__ = ["CONTENT_TYPE", "Metrics"]

_RUN = ("namespace", "run")


class Metrics:
    """All metrics of one operator process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.reconcile_seconds = self._histogram(
            "reconcile_seconds",
            "Time of one look at a run: observe, plan, act, status.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
        )
        self.reconcile_errors = self._counter(
            "reconcile_errors", "Looks at a run that failed, by kind of error.", "error"
        )
        self.actions = self._counter("actions", "What was done for runs, by kind of action.", "action")
        self.queue_depth = self._gauge("queue_depth", "Runs that wait for their turn.")
        self.loop_lag_seconds = self._gauge("loop_lag_seconds", "How late the event loop was, last measured.")
        self.leader = self._gauge("leader", "1 while this process holds the Lease.")
        self.lease_age_seconds = self._gauge("lease_age_seconds", "Time since the Lease was last renewed.")
        self.kuberay = self._gauge("kuberay", "1 while KubeRay is installed.")
        self.runs = self._gauge("runs", "Runs by phase.", "phase")
        self.attempts_ended = self._counter("attempts_ended", "Attempts that ended, by reason.", "reason")
        self.preemptions = self._counter("preemptions", "Workers lost to preemption.")
        self.generations = self._gauge("run_generations", "Generations that the run has committed.", *_RUN)
        self.generations_asked = self._gauge("run_generations_asked", "Generations asked for.", *_RUN)
        self.members_running = self._gauge("run_members_running", "Members that are training.", *_RUN)
        self.members_failed = self._gauge(
            "run_members_failed", "Members that diverged in the last generation.", *_RUN
        )
        self.heartbeat_age_seconds = self._gauge(
            "run_heartbeat_age_seconds", "Time since the run's driver last gave a sign of life.", *_RUN
        )
        self.gpu_hours = self._gauge("run_gpu_hours", "GPU-hours that the run has used.", *_RUN)
        self.cost_estimate = self._gauge("run_cost_estimate", "Estimated cost of the run so far.", *_RUN)
        self.status_writes = self._counter("status_writes", "Writes of a run's status.")
        self.events = self._counter("events", "Events posted, by reason.", "reason")
        self.api_requests = self._counter("api_requests", "Requests to Kubernetes.", "method", "code")
        self.store_requests = self._counter(
            "store_requests", "Requests to output folders, by what came back.", "method", "result"
        )
        self.cloud_requests = self._counter(
            "cloud_requests", "Requests to GKE's Cluster Manager, by what came back.", "method", "code"
        )
        self.cleanup_blocked = self._gauge(
            "run_cleanup_blocked", "1 while a deleted run cannot give back its node pool.", *_RUN
        )
        self.damaged_reports = self._counter(
            "damaged_reports", "Files in output folders that could not be understood."
        )
        for phase in Phase:
            self.runs.labels(phase.value).set(0)

    def count_phases(self, counted: Mapping[str, int]) -> None:
        """Set `runs` to how many runs are in each phase now."""
        for phase in {*(phase.value for phase in Phase), *counted}:
            self.runs.labels(phase).set(counted.get(phase, 0))

    def forget(self, namespace: str, run: str) -> None:
        """Drop the gauges of a run that is gone."""
        for gauge in (
            self.generations,
            self.generations_asked,
            self.members_running,
            self.members_failed,
            self.heartbeat_age_seconds,
            self.gpu_hours,
            self.cost_estimate,
            self.cleanup_blocked,
        ):
            gauge.remove_by_labels({"namespace": namespace, "run": run})

    def page(self) -> bytes:
        """What a scrape gets."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"autolfads_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"autolfads_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"autolfads_{name}", text, registry=self.registry, buckets=buckets)
