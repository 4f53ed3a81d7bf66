"""Who came from whom, rebuilt from nothing but the decisions of a run.

A decision of generation g tells where each member of generation g + 1 comes from; so the decisions of all
generations are the whole family tree, and the values along it are the schedule of hyperparameters that a
model has really seen.
"""

from collections.abc import Iterable

from lfads_worker.pbt.evolve import Decision

_ByPlace = dict[tuple[int, int], Decision]


def ancestors(decisions: Iterable[Decision], member: int, generation: int) -> list[int]:
    """The line of a member's weights.

    Returns:
      One index per generation, from 0 to the one asked for: entry g is the member that carried, in generation
      g, the weights that became this member's. The last entry is the member itself.

    Raises:
      ValueError: if a decision on the line is missing.
    """
    by_place = _by_place(decisions)
    line = [member]
    for past in range(generation - 1, -1, -1):
        line.append(_decision(by_place, past, line[-1]).source)
    return line[::-1]


def values_along(decisions: Iterable[Decision], member: int, generation: int) -> list[dict[str, float]]:
    """The hyperparameters that a member's weights were trained with, one mapping per generation from 0 on.

    Raises:
      ValueError: if a decision on the line is missing.
    """
    by_place = _by_place(decisions)
    line = ancestors(by_place.values(), member, generation)
    values = [dict(_decision(by_place, past, carrier).old_values) for past, carrier in enumerate(line[:-1])]
    if (generation, member) in by_place:
        return [*values, dict(by_place[generation, member].old_values)]
    # The last generation of a run is followed by no decision; its values are in the decision before.
    return [*values, dict(_decision(by_place, generation - 1, member).new_values)]


def _by_place(decisions: Iterable[Decision]) -> _ByPlace:
    return {(decision.generation, decision.member): decision for decision in decisions}


def _decision(by_place: _ByPlace, generation: int, member: int) -> Decision:
    if (generation, member) not in by_place:
        raise ValueError(
            f"lineage: a decision about member {member} in generation {generation} wanted, found none; "
            "hand over the decisions of all generations"
        )
    return by_place[generation, member]
