"""The cohorts of one generation that nobody has finished: who is next.

A worker takes one cohort when it is free and no more, so a slow one holds back only the
cohort that it has. How often a cohort may come back is in `losses`. Pure bookkeeping, no
processes.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from lfads_worker.training.state import CohortTask


@dataclass(eq=False)
class WorkQueue:
    """Tasks in their order; one that comes back is next."""

    waiting: deque[CohortTask]

    @classmethod
    def of(cls, tasks: Iterable[CohortTask]) -> "WorkQueue":
        """All tasks of a generation."""
        return cls(deque(tasks))

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def take(self) -> CohortTask:
        """The next task."""
        return self.waiting.popleft()

    def put_back(self, task: CohortTask) -> None:
        """Takes back a task whose worker was lost."""
        self.waiting.appendleft(task)
