"""The cohorts of one generation that nobody has finished: who is next, and how often it was tried.

A worker takes one cohort when it is free and no more, so a slow one holds back only the
cohort that it has. Pure bookkeeping, no processes.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from lfads_worker.errors import MemoryFullError
from lfads_worker.training.state import CohortTask

# A cohort that ends its worker this often will do so again.
TRIES_PER_COHORT = 3


@dataclass(eq=False)
class WorkQueue:
    """Tasks in their order; one that comes back is next."""

    waiting: deque[CohortTask]
    lost: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, tasks: Iterable[CohortTask]) -> "WorkQueue":
        """All tasks of a generation."""
        return cls(deque(tasks))

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def take(self) -> CohortTask:
        """The next task."""
        return self.waiting.popleft()

    def put_back(self, task: CohortTask, its_fault: bool) -> None:
        """Takes back a task whose worker ended.

        Args:
          task: the task.
          its_fault: whether training it may be why the worker ended; losing a machine is not.

        Raises:
          MemoryFullError: if it has ended too many workers.
        """
        self.waiting.appendleft(task)
        if not its_fault:
            return
        self.lost[task.cohort] = lost = self.lost.get(task.cohort, 0) + 1
        if lost < TRIES_PER_COHORT:
            return
        raise MemoryFullError(
            f"cohort {task.cohort}: wanted its members {', '.join(map(str, task.member_ids))} trained in "
            f"generation {task.generation}, found that its worker ended {lost} times; most often memory runs "
            "out: set a smaller compute.membersPerCohort or training.batchSize, or use fewer --workers"
        )
