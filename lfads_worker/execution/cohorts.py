"""How a population is cut into cohorts: once, at the start, and never again.

A cohort is the unit of scheduling, of checkpoint and of retry. On CPUs the cut depends on
the spec only, never on how many workers or cores there are. On GPUs it also depends on how
many GPUs are asked for when the run begins; what comes later changes nothing.
"""

from collections.abc import Sequence
from typing import Literal, TypeVar

from lfads_worker.training.state import CohortState, gather

Cohorts = Sequence[tuple[int, ...]]
DeviceKind = Literal["cpu", "gpu"]
T = TypeVar("T")

# Measured: on a CPU the time per member is the same for cohorts of 1, 2, 4 and 8, so the
# smallest cohort that still halves the number of tasks keeps all cores busy to the end.
MEMBERS_ON_CPU = 2
# What stays free: the estimate may be too small, and memory in pieces cannot be used to the end.
USABLE_MEMORY_SHARE = 0.8


def cut(population_size: int, members_per_cohort: int) -> tuple[tuple[int, ...], ...]:
    """Consecutive members into the fewest cohorts that hold no more than asked, as equal as possible."""
    if population_size < 1 or members_per_cohort < 1:
        raise ValueError(
            f"cut wants at least 1 member a cohort; got {population_size} / {members_per_cohort}"
        )
    count = -(-population_size // members_per_cohort)
    small, larger = divmod(population_size, count)
    sizes = [small + 1] * larger + [small] * (count - larger)
    starts = [sum(sizes[:number]) for number in range(count)]
    return tuple(tuple(range(start, start + size)) for start, size in zip(starts, sizes, strict=True))


def members_per_cohort(
    asked: int | Literal["Auto"],
    population_size: int,
    device: DeviceKind,
    member_bytes: int,
    device_bytes: int,
    fixed_bytes: int = 0,
    devices: int = 1,
) -> int:
    """The number asked for, or on Auto: 2 on a CPU, on GPUs the population shared out over them.

    A GPU trains many members in little more time than one, so there are as few cohorts as there are GPUs,
    and more only where a GPU's memory does not carry so many members.

    Args:
      asked: `compute.membersPerCohort`.
      population_size: members of the population.
      device: what a cohort trains on.
      member_bytes: memory that training one member needs.
      device_bytes: memory of one device.
      fixed_bytes: memory that training needs before the first member.
      devices: GPUs that were asked for.
    """
    if asked != "Auto":
        return min(asked, population_size)
    if device == "cpu":
        return min(MEMBERS_ON_CPU, population_size)
    fitting = int((USABLE_MEMORY_SHARE * device_bytes - fixed_bytes) // max(member_bytes, 1))
    return max(1, min(fitting, -(-population_size // devices)))


def in_member_order(cohorts: Cohorts, rows: Sequence[Sequence[T]]) -> list[T]:
    """One value a member, in the order of the members, out of one row a member of each cohort."""
    by_member = {
        member: value
        for members, values in zip(cohorts, rows, strict=True)
        for member, value in zip(members, values, strict=True)
    }
    return [by_member[member] for member in sorted(by_member)]


def copy_members(
    cohorts: Cohorts, states: Sequence[CohortState], sources: Sequence[int]
) -> tuple[CohortState, ...]:
    """The states after exploitation: every member goes on from what its source had learned.

    All copies are taken from `states` as they are, whichever cohort the source is in; a member
    keeps its identity, and with it its own random numbers.

    Args:
      cohorts: the members of each cohort.
      states: one a cohort, at the end of a generation.
      sources: [members] the member to copy from, its own number to stay as it is.
    """
    place = {
        member: (state, row)
        for members, state in zip(cohorts, states, strict=True)
        for row, member in enumerate(members)
    }
    return tuple(
        state
        if all(sources[member] == member for member in members)
        else gather([place[sources[member]] for member in members], members)
        for members, state in zip(cohorts, states, strict=True)
    )
