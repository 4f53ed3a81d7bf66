"""From run.yaml's words to the numbers that PBT and the trainer take.

`pbt` knows no spec and the trainer no search: here the searched hyperparameters become a
`SearchSpace`, and a member's searched values become all nine that training needs.
"""

from collections.abc import Mapping

from autolfads_spec.population import PopulationSpec
from autolfads_spec.search_space import HYPERPARAMETER_ATTRIBUTES, SearchDimension
from autolfads_spec.training import TrainingSpec
from lfads_worker.pbt.hyperparameters import Distribution, Hyperparameter, SearchSpace

_DISTRIBUTIONS: Mapping[str, Distribution] = {
    "Uniform": "uniform",
    "LogUniform": "log_uniform",
    "Choice": "choice",
}


def search_space(population: PopulationSpec) -> SearchSpace:
    """What the population searches."""
    return SearchSpace(tuple(_hyperparameter(dimension) for dimension in population.search_space))


def complete_values(training: TrainingSpec, searched: Mapping[str, float]) -> dict[str, float]:
    """All nine hyperparameters of a member: the searched ones, and the spec's values for the others."""
    fixed = {name: float(getattr(training, name)) for name in HYPERPARAMETER_ATTRIBUTES}
    return {**fixed, **searched}


def _hyperparameter(dimension: SearchDimension) -> Hyperparameter:
    return Hyperparameter(
        name=dimension.attribute,
        distribution=_DISTRIBUTIONS[dimension.distribution],
        low=0.0 if dimension.min is None else dimension.min,
        high=0.0 if dimension.max is None else dimension.max,
        choices=dimension.values or (),
        start=dimension.init,
        weight=dimension.weight,
        enforce_limits=dimension.enforce_limits,
    )
