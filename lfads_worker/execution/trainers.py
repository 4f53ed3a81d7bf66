"""Which trainer the workers make: the only place that names the TensorFlow one."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from autolfads_spec import RunSpec
from lfads_worker.data.spikes import SpikeData
from lfads_worker.errors import DeviceError, MemoryFullError
from lfads_worker.execution.environment import loading, multiply_in_float32
from lfads_worker.execution.pool import Shapes, Trainer, TrainerFactory
from lfads_worker.training.averages import PosteriorAverages
from lfads_worker.training.state import CohortResult, CohortState, CohortTask, Progress

SMALLER_COHORTS = (
    "set a smaller number (or Auto), or lower training.batchSize, and give another output.uri, because the "
    "cut into cohorts belongs to a run"
)


@dataclass(frozen=True, eq=False)
class TensorFlowTrainer:
    """Makes a `CohortTrainer` where it is called; pickles, so that it can be called elsewhere."""

    spec: RunSpec
    data: SpikeData

    def __call__(self, threads: int | None) -> Trainer:
        # TensorFlow takes seconds to load and grabs a GPU: only in the process that trains.
        with loading():
            from lfads_worker.training.trainer import CohortTrainer

        if threads is None:
            multiply_in_float32()
        with full_memory_told("the recording and the model"):
            return PlainSpoken(CohortTrainer(self.spec, self.data, threads))


@dataclass(frozen=True, eq=False)
class OnProvenGPU:
    """Makes a trainer where TensorFlow sees a GPU, and nowhere else: it would train on the CPU unasked."""

    trainer_factory: TrainerFactory

    def __call__(self, threads: int | None) -> Trainer:
        with loading():
            import tensorflow as tf

            found = tf.config.list_physical_devices("GPU")
        if not found:
            raise DeviceError(
                f"compute.accelerator: wanted a GPU for each worker, found that TensorFlow sees none on "
                f"{socket.gethostname()}; most often the machine's driver is not ready yet or is another "
                "one than this TensorFlow wants: start again, or look at nvidia-smi there"
            )
        return self.trainer_factory(threads)


@dataclass(frozen=True, eq=False)
class PlainSpoken:
    """A trainer that says so in a sentence when the memory of its device is full."""

    trainer: Trainer

    def train_generation(self, task: CohortTask, progress: Progress | None = None) -> CohortResult:
        members = len(task.member_ids)
        with full_memory_told(f"a cohort of {members} member{'s' if members > 1 else ''}"):
            return self.trainer.train_generation(task, progress)

    def posterior_averages(
        self, state: CohortState, row: int, samples: int, progress: Progress | None = None
    ) -> PosteriorAverages:
        with full_memory_told(f"{samples} posterior samples of a member"):
            return self.trainer.posterior_averages(state, row, samples, progress)

    def parameter_names_and_shapes(self) -> Shapes:
        return self.trainer.parameter_names_and_shapes()


@contextmanager
def full_memory_told(
    what: str, field: str = "compute.membersPerCohort", cure: str = SMALLER_COHORTS
) -> Iterator[None]:
    """Turns the full memory of a device into a sentence: what was to fit, by which field, and what helps."""
    try:
        yield
    except Exception as error:
        if not _is_full_memory(error):
            raise
        # `from None`: the cause is TensorFlow's, which the driver must not load to read about it.
        raise MemoryFullError(
            f"{field}: wanted {what} to fit on one device, found its memory full; {cure}"
        ) from None


def _is_full_memory(error: Exception) -> bool:
    """TensorFlow's own error, XLA's, which comes as an internal one, or Python's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return True
    return type(error).__module__.startswith("tensorflow") and "RESOURCE_EXHAUSTED" in str(error)
