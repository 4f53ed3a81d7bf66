"""How often workers are lost under a cohort, and when that is too often.

A machine that is taken away, or a worker that stands still, is not the fault of what it trains:
`retry.maxMemberFailures` says how often that may happen to a cohort in one attempt. A process that
ends on a machine that stays is most often out of memory, and would be again. Pure bookkeeping, no
processes.
"""

from collections import Counter
from collections.abc import Hashable
from enum import Enum
from typing import NamedTuple, Self

from autolfads_spec.lifecycle import RetrySpec
from lfads_worker.errors import DeviceError, MemoryFullError
from lfads_worker.training.state import CohortTask

# Where no spec says otherwise.
ALLOWED = RetrySpec().max_member_failures
# What has ended its worker this often will do so again.
TRIES = 3


class Loss(Enum):
    """Why a worker does not end its work, in words that follow "its"."""

    MACHINE = "machine was lost"
    STILL = "worker stood still"
    MEMORY = "worker was ended because the machine's memory was nearly full"
    ENDED = "worker ended"

    @property
    def is_of_machine(self) -> bool:
        """Whether the work has nothing to do with it."""
        return self in (Loss.MACHINE, Loss.STILL)


class Work(NamedTuple):
    """What a worker was lost over.

    Attributes:
      machines: under which losses of machines are counted: for a cohort, over all generations.
      processes: under which ends of processes are counted: for a cohort, in one generation.
      wanted: the first part of a sentence.
    """

    machines: Hashable
    processes: Hashable
    wanted: str

    @classmethod
    def of(cls, task: CohortTask) -> Self:
        """A generation of a cohort."""
        members = ", ".join(map(str, task.member_ids))
        return cls(
            task.cohort,
            (task.cohort, task.generation),
            f"cohort {task.cohort}: wanted its members {members} trained in generation {task.generation}",
        )


AVERAGES = Work("averages", "averages", "output.posteriorSamples: wanted the best member's rates")


class Losses:
    """Of one attempt."""

    def __init__(self, allowed: int, more_memory: str) -> None:
        """Nothing is lost yet.

        Args:
          allowed: `retry.maxMemberFailures`.
          more_memory: what the user does when memory is too small.
        """
        self._allowed = allowed
        self._more_memory = more_memory
        self._machines: Counter[Hashable] = Counter()
        self._processes: Counter[Hashable] = Counter()

    def count(self, work: Work, loss: Loss) -> None:
        """Notes one.

        Raises:
          DeviceError: if machines were lost too often; worth another attempt.
          MemoryFullError: if too many processes have ended over this work.
        """
        if loss.is_of_machine:
            self._count_machine(work)
        else:
            self._count_process(work, loss)

    def _count_machine(self, work: Work) -> None:
        self._machines[work.machines] += 1
        lost = self._machines[work.machines]
        if lost > self._allowed:
            raise DeviceError(
                f"{work.wanted}, found that its machine was lost, or its worker stood still, "
                f"{_times(lost)} in this attempt, and retry.maxMemberFailures allows {self._allowed}; start "
                "the run again, which goes on after the last committed generation (in a cluster the next "
                "attempt does), on machines that are not taken away, or raise retry.maxMemberFailures"
            )

    def _count_process(self, work: Work, loss: Loss) -> None:
        self._processes[work.processes] += 1
        ended = self._processes[work.processes]
        if ended >= TRIES:
            often = "" if loss is Loss.MEMORY else "most often memory runs out: "
            raise MemoryFullError(
                f"{work.wanted}, found that its {loss.value} {_times(ended)}; {often}{self._more_memory}"
            )


def more_memory(workers: int, in_cluster: bool) -> str:
    """What the user does when the memory of machines is too small.

    Args:
      workers: that train at the same time.
      in_cluster: each on a machine of its own, as good as; else all on this one.
    """
    smaller = "a smaller compute.membersPerCohort or training.batchSize, and another output.uri"
    if in_cluster:
        return f"choose a compute.accelerator.machineType with more memory, or set {smaller}"
    if workers > 1:
        return f"use fewer --workers than {workers}, or set {smaller}"
    return f"close other programs, or set {smaller}"


def never_starts(device: str, times: int, why: str, loss: Loss, more_memory: str) -> DeviceError:
    """What is raised when no process of a worker comes up.

    Args:
      device: that a worker takes.
      times: that it was tried.
      why: it ended the last time.
      loss: the same in one word.
      more_memory: what the user does when memory is too small.
    """
    found = (
        f"compute.workers: wanted a worker process with one {device}, found that {times} in a row ended "
        f"while they started ({why})"
    )
    if loss is Loss.MEMORY:
        return MemoryFullError(f"{found}; {more_memory}")
    return DeviceError(f"{found}; look at the machine's memory and at Ray's logs")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
