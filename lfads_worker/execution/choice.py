"""Picks the pool that is fastest on this machine.

A worker with one thread a core is what is fastest on CPUs (measured), and a worker a GPU
on GPUs; where there is only one device or one cohort, this process trains itself and
nothing needs to be started. The choice changes no bit of a result.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lfads_worker.execution.device import Devices
from lfads_worker.execution.environment import prepare_this_process
from lfads_worker.execution.losses import ALLOWED
from lfads_worker.execution.pool import CohortPool, TrainerFactory


@dataclass(frozen=True)
class Choice:
    """How to train.

    Attributes:
      workers: Ray workers; 0 trains in this process.
      gpus: a worker takes a GPU.
      address: of a Ray cluster; None starts Ray on this machine.
    """

    workers: int
    gpus: bool
    address: str | None = None

    @property
    def threads(self) -> int | None:
        """Of each process; the result depends on it in the last bits, so it is the same for all pools."""
        return None if self.gpus else 1

    def open(
        self,
        trainer_factory: TrainerFactory,
        while_waiting: Callable[[], None] = lambda: None,
        allowed_losses: int = ALLOWED,
    ) -> CohortPool:
        """Starts the pool.

        Args:
          trainer_factory: makes what trains.
          while_waiting: called again and again as long as there is no worker, see `RayPool`.
          allowed_losses: how often the machine under a cohort may be lost, see `Losses`.
        """
        if self.workers == 0:
            from lfads_worker.execution.serial import SerialPool

            prepare_this_process(self.threads)
            return SerialPool(trainer_factory, self.threads)
        # Ray takes a second to load, so only who uses it pays for it.
        from lfads_worker.execution.ray_pool import RayPool
        from lfads_worker.execution.trainers import OnProvenGPU

        return RayPool(
            # A machine that joins a cluster may come before the driver of its GPU is ready.
            OnProvenGPU(trainer_factory) if self.gpus and self.address else trainer_factory,
            self.workers,
            gpus=self.gpus,
            threads=self.threads,
            address=self.address,
            while_waiting=while_waiting,
            allowed_losses=allowed_losses,
        )


def choose(
    asked: int | None,
    cohorts: int,
    devices: Devices,
    cluster_workers: int | None = 1,
    address: str | None = None,
    fitting: int | None = None,
) -> Choice:
    """How many workers, and where.

    Args:
      asked: by the user: workers, 0 for this process, None for whatever is fastest.
      cohorts: in the population; more workers than that would have nothing to do.
      devices: of this machine, or of the cluster's workers.
      cluster_workers: devices of the machines in `compute`; None: of all machines that will ever join. Counts
        on a Ray cluster only.
      address: of a running Ray cluster, from RAY_ADDRESS.
      fitting: workers that the memory of this machine carries; None: as many as it has devices. Whoever asks
        for a number gets it all the same.
    """
    gpus = devices.kind == "gpu"
    if asked is not None:
        return Choice(min(asked, cohorts), gpus, address if asked else None)
    if address is not None:
        return Choice(cohorts if cluster_workers is None else min(cluster_workers, cohorts), gpus, address)
    useful = min(devices.count, cohorts, devices.count if fitting is None else fitting)
    return Choice(useful if useful > 1 else 0, gpus)
