"""The parts of the process that make node pools, put together; none of them exists without a cluster set.

settings = await named(settings, api)       who we are to Google Cloud, before anything is decided
side = CloudSide(settings, metrics, ...)    .view for looks and actions, .sweeper for what is left over
"""

import asyncio
import logging
import time
from collections.abc import Callable

from autolfads_operator.api import KubeApi
from autolfads_operator.cloud import CloudView
from autolfads_operator.errors import OperatorError, RefusedError
from autolfads_operator.kinds import NAMESPACES
from autolfads_operator.metrics import Metrics
from autolfads_operator.observed import CustomResource
from autolfads_operator.quota import Quotas
from autolfads_operator.settings import PREFIX, OperatorSettings
from autolfads_operator.sweeper import Sweeper
from autolfads_spec import SpecError

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0


async def named(settings: OperatorSettings, api: KubeApi) -> OperatorSettings:
    """The settings with what marks our node pools: as set, else the cluster's own uid.

    Waits for Kubernetes as long as it takes.

    Raises:
      SpecError: if it is not set and may not be read.
    """
    while settings.cluster and not settings.install_id:
        try:
            found = await api.get(NAMESPACES, None, "kube-system")
        except RefusedError as error:
            raise SpecError(
                f"{PREFIX}INSTALL_ID: wanted a name for this installation, or the right to read the "
                f"namespace kube-system, found neither ({error}); set it"
            ) from error
        except OperatorError as error:
            logger.warning("waiting for Kubernetes to say which cluster this is: %s", error)
            found = None
        if found is not None:
            return settings.model_copy(update={"install_id": found["metadata"]["uid"]})
        await asyncio.sleep(PAUSE_SECONDS)
    return settings


class CloudSide:
    """Google Cloud, as far as this process deals with it."""

    def __init__(
        self,
        settings: OperatorSettings,
        metrics: Metrics,
        runs: Callable[[], tuple[CustomResource, ...]],
        may_act: Callable[[], bool],
    ) -> None:
        # Here, as Google's client is 20 of the 97 MB of the process: only where there is a cluster to ask.
        from autolfads_operator.gke import ClusterManager, insecure

        self._clusters = ClusterManager(
            settings.cluster,
            settings.install_id,
            insecure(settings.cluster_manager_endpoint) if settings.cluster_manager_endpoint else None,
            busy_seconds=settings.cluster_busy_seconds,
            on_call=lambda method, code: metrics.cloud_requests.labels(method, code).inc(),
        )
        self._quotas = Quotas(settings.cluster, settings.compute_endpoint)
        self.view = CloudView(self._clusters, self._quotas, settings.poll_starting_seconds, time.monotonic)
        self.sweeper = Sweeper(
            self.view,
            runs,
            settings,
            settings.pool_idle_seconds,
            settings.sweep_seconds,
            may_act,
            time.monotonic,
        )

    async def close(self) -> None:
        """Give up the connections."""
        self._quotas.close()
        await self._clusters.close()
