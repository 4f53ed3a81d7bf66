"""All figures of the report, in the order of the page."""

from collections.abc import Callable
from typing import NamedTuple

from lfads_worker.report.figures import conditions, factors, hyperparameters, inputs, neurons, training
from lfads_worker.report.figures.style import Drawn
from lfads_worker.report.folder import FinishedRun


class Entry(NamedTuple):
    """A figure's place on the page.

    Attributes:
      name: of the PNG, without its ending.
      missing: the sentence that stands where there is nothing to draw.
    """

    name: str
    heading: str
    draw: Callable[[FinishedRun], Drawn | None]
    missing: str = ""


FIGURES = (
    Entry("rates", "Single trials", neurons.draw),
    Entry(
        "conditions",
        "Averages by condition",
        conditions.draw,
        "The recording does not say which condition a trial belongs to, so nothing is averaged here. A "
        "variable named condition, with a number or word a trial, adds this figure.",
    ),
    Entry("factors", "Factors: the state of the population", factors.draw),
    Entry(
        "inferred_inputs",
        "Inferred inputs",
        inputs.draw,
        "This model has no controller and therefore no inferred inputs: activity follows from the state at "
        "the start of a trial alone.",
    ),
    Entry("training", "How the population learned", training.draw),
    Entry(
        "hyperparameters",
        "What the search tried",
        hyperparameters.draw,
        "No hyperparameter was searched: all members were trained with the values of run.yaml.",
    ),
)
