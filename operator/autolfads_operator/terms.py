"""The settings that decisions and manifests depend on, as the pure core sees them.

`settings.OperatorSettings` has them all and documents them; the core asks for no more than this, so it
reads no environment and a test can hand it anything with these fields. All times are seconds.
"""

from collections.abc import Mapping
from typing import Protocol

from autolfads_operator.prices import PriceTable


class Terms(Protocol):
    """What whoever installed the operator chose, of which the core makes use."""

    @property
    def worker_image(self) -> str:
        """Image of runs that name none."""

    @property
    def worker_service_account(self) -> str:
        """Service account of runs that name none; empty for the namespace's own."""

    @property
    def ray_version(self) -> str:
        """Ray in that image; KubeRay wants to know it for token authentication and for its probes."""

    @property
    def worker_env(self) -> Mapping[str, str]:
        """Environment variables of every pod."""

    @property
    def worker_cpu(self) -> str:
        """CPU request of a worker for each of its accelerators, a Kubernetes quantity."""

    @property
    def worker_memory(self) -> str:
        """Memory request of a worker for each of its accelerators, a Kubernetes quantity."""

    @property
    def poll_starting_seconds(self) -> float:
        """Pause between two looks at a run that starts, pauses or is deleted."""

    @property
    def poll_running_seconds(self) -> float:
        """Pause between two looks at a run that trains."""

    @property
    def poll_terminal_seconds(self) -> float:
        """Pause between two looks at a run that is suspended or has ended."""

    @property
    def head_missing_seconds(self) -> float:
        """How long a running head may be gone."""

    @property
    def heartbeat_stale_seconds(self) -> float:
        """How old a heartbeat may be."""

    @property
    def heartbeat_generations(self) -> float:
        """A heartbeat is not stale before so many times the median generation."""

    @property
    def pause_wait_seconds(self) -> float:
        """How long a driver may take to reach the end of its generation."""

    @property
    def delete_wait_seconds(self) -> float:
        """How long the driver of a deleted run may take to stop by itself."""

    @property
    def driver_start_seconds(self) -> float:
        """How long a driver may take to write its first heartbeat."""

    @property
    def prices(self) -> PriceTable:
        """What machines cost."""

    @property
    def cluster(self) -> str:
        """The GKE cluster in which node pools are made; "" when none are."""

    @property
    def install_id(self) -> str:
        """What marks node pools as ours."""
