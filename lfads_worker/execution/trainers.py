"""Which trainer the workers make: the only place that names the TensorFlow one."""

from dataclasses import dataclass

from autolfads_spec import RunSpec
from lfads_worker.data.spikes import SpikeData
from lfads_worker.execution.pool import Trainer


@dataclass(frozen=True, eq=False)
class TensorFlowTrainer:
    """Makes a `CohortTrainer` where it is called; pickles, so that it can be called elsewhere."""

    spec: RunSpec
    data: SpikeData

    def __call__(self, threads: int | None) -> Trainer:
        # TensorFlow takes seconds to load and grabs a GPU: only in the process that trains.
        from lfads_worker.training.trainer import CohortTrainer

        return CohortTrainer(self.spec, self.data, threads)
