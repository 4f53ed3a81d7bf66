"""One entry of `spec.population.searchSpace`, and the presets as such entries.

A hyperparameter is searched over a range (evenly, or evenly in its logarithm) or over a list of values.
"""

import re
from typing import ClassVar, Literal, get_args

from pydantic import Field

from autolfads_spec.block import Block, Rule
from autolfads_spec.search_presets import SEARCH_PRESETS

HyperparameterName = Literal[
    "learningRate",
    "dropoutRate",
    "coordinatedDropoutRate",
    "l2Generator",
    "l2Controller",
    "l2IcEncoder",
    "l2CiEncoder",
    "klInitialCondition",
    "klInferredInputs",
]
HYPERPARAMETER_NAMES: tuple[str, ...] = get_args(HyperparameterName)


def attribute_name(name: str) -> str:
    """The Python name of a field of run.yaml: l2IcEncoder becomes l2_ic_encoder.

    Pydantic's own converter also splits at digits.
    """
    return re.sub("[A-Z]", lambda capital: f"_{capital.group().lower()}", name)


HYPERPARAMETER_ATTRIBUTES: tuple[str, ...] = tuple(attribute_name(name) for name in HYPERPARAMETER_NAMES)
# Without a controller these act on nothing.
CONTROLLER_HYPERPARAMETERS = ("l2Controller", "l2CiEncoder", "klInferredInputs")
RATES_BELOW_ONE = ("dropoutRate", "coordinatedDropoutRate")


def _bounds_missing(d: "SearchDimension") -> str | None:
    if d.distribution == "Choice" or (d.min is not None and d.max is not None):
        return None
    lacking = " and ".join(name for name in ("min", "max") if getattr(d, name) is None)
    return f"wanted min and max for a {d.distribution} draw of {d.name}, found no {lacking}; add {lacking}"


def _bounds_reversed(d: "SearchDimension") -> str | None:
    if d.min is None or d.max is None or d.min < d.max:
        return None
    return f"wanted min below max for {d.name}, found min {d.min:g} and max {d.max:g}; swap or change them"


def _log_of_nothing(d: "SearchDimension") -> str | None:
    if d.distribution != "LogUniform" or d.min is None or d.min > 0:
        return None
    return (
        f"wanted min above 0 for a LogUniform draw of {d.name}, found {d.min:g}; "
        "give a small positive min, or use distribution Uniform"
    )


def _choice_without_values(d: "SearchDimension") -> str | None:
    if d.distribution == "Choice" and not d.values:
        return f"wanted values for a Choice of {d.name}, found none; add values, for example [0.1, 0.3]"
    if d.distribution != "Choice" and d.values is not None:
        return (
            f"wanted values only with Choice, found them with {d.distribution}; remove values, or use Choice"
        )
    return None


def _choice_repeated(d: "SearchDimension") -> str | None:
    repeated = sorted({v for v in d.values or () if (d.values or ()).count(v) > 1})
    if not repeated:
        return None
    listed = ", ".join(f"{v:g}" for v in repeated)
    return f"wanted each value of {d.name} once, found {listed} more than once; remove the repetition"


def _choice_with_bounds(d: "SearchDimension") -> str | None:
    if d.distribution != "Choice" or (d.min is None and d.max is None):
        return None
    found = " and ".join(name for name in ("min", "max") if getattr(d, name) is not None)
    return (
        f"wanted no bounds for a Choice of {d.name}, found {found}; remove {found}, the values are the bounds"
    )


def _start_outside(d: "SearchDimension") -> str | None:
    if d.init is None:
        return None
    if d.distribution == "Choice" and d.values and d.init not in d.values:
        listed = ", ".join(f"{v:g}" for v in d.values)
        return f"wanted init of {d.name} to be one of its values ({listed}), found {d.init:g}; choose one"
    if d.min is None or d.max is None or d.min <= d.init <= d.max:
        return None
    return f"wanted init of {d.name} from {d.min:g} to {d.max:g}, found {d.init:g}; move init or the bounds"


def _outside_its_domain(d: "SearchDimension") -> str | None:
    values = [v for v in (d.min, d.max, *(d.values or ())) if v is not None]
    if not values:
        return None
    found = f"{min(values):g} to {max(values):g}"
    if d.name in RATES_BELOW_ONE and (min(values) < 0 or max(values) >= 1):
        return f"wanted a {d.name} from 0 to below 1, found {found}; change the bounds"
    if d.name == "learningRate" and (min(values) <= 0 or max(values) > 1):
        return f"wanted a learningRate above 0 and at most 1, found {found}; change the bounds"
    if min(values) < 0:
        return f"wanted a {d.name} of at least 0, found {min(values):g}; change the bounds"
    return None


class SearchDimension(Block):
    """One searched hyperparameter: where its values come from and how far it moves."""

    name: HyperparameterName = Field(description="The hyperparameter, as `spec.training` names it.")
    distribution: Literal["Uniform", "LogUniform", "Choice"] = Field(
        description="How a value is drawn: evenly between the bounds, evenly in its logarithm, or from a "
        "list."
    )
    min: float | None = Field(None, description="Smallest value, for Uniform and LogUniform.")
    max: float | None = Field(None, description="Largest value, for Uniform and LogUniform.")
    values: tuple[float, ...] | None = Field(
        None, strict=False, min_length=1, max_length=64, description="The values to choose from, for Choice."
    )
    init: float | None = Field(
        None,
        description="The value every member starts with; by default each draws its own from the "
        "distribution.",
    )
    weight: float = Field(
        0.3,
        gt=0,
        le=10,
        description="How far a perturbation moves the value: by a factor of up to 1 + weight either way. In "
        "a Uniform range that begins at 0, a tenth of the range is added before and taken off afterwards, so "
        "that 0 can be left. A Choice moves to the next smaller or larger value.",
    )
    enforce_limits: bool = Field(
        True, description="Whether exploring keeps the value between `min` and `max`."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("distribution", "min", "max"),
            "self.distribution == 'Choice' || (has(self.min) && has(self.max))",
            "Uniform and LogUniform need min and max; add them",
            _bounds_missing,
        ),
        Rule(
            ("min", "max"),
            "!has(self.min) || !has(self.max) || self.min < self.max",
            "wanted min below max; swap or change them",
            _bounds_reversed,
        ),
        Rule(
            ("distribution", "min"),
            "self.distribution != 'LogUniform' || !has(self.min) || self.min > 0.0",
            "LogUniform needs min above 0; give a small positive min, or use Uniform",
            _log_of_nothing,
        ),
        Rule(
            ("distribution", "values"),
            "(self.distribution == 'Choice') == has(self.values)",
            "Choice needs values, Uniform and LogUniform take none; add or remove values",
            _choice_without_values,
        ),
        Rule(
            ("values",),
            "!has(self.values) || self.values.all(v, self.values.filter(w, w == v).size() == 1)",
            "wanted each of values once; remove the repetition",
            _choice_repeated,
        ),
        Rule(
            ("distribution", "min", "max"),
            "self.distribution != 'Choice' || (!has(self.min) && !has(self.max))",
            "Choice takes no min and max; remove them, the values are the bounds",
            _choice_with_bounds,
        ),
        Rule(
            ("init", "min", "max", "values"),
            "!has(self.init) || (self.distribution == 'Choice'"
            " ? !has(self.values) || self.init in self.values"
            " : !has(self.min) || !has(self.max) || (self.min <= self.init && self.init <= self.max))",
            "wanted init between min and max, or one of values; move init or the bounds",
            _start_outside,
        ),
        Rule(
            ("name", "min", "max", "values"),
            "(!has(self.min) || (self.name == 'learningRate' ? self.min > 0.0 : self.min >= 0.0))"
            " && (!has(self.max) || (self.name in ['dropoutRate', 'coordinatedDropoutRate'] ? self.max < 1.0"
            " : self.name == 'learningRate' ? self.max <= 1.0 && self.max > 0.0 : self.max >= 0.0))"
            " && (!has(self.values) || self.values.all(v,"
            " self.name in ['dropoutRate', 'coordinatedDropoutRate'] ? v >= 0.0 && v < 1.0"
            " : self.name == 'learningRate' ? v > 0.0 && v <= 1.0 : v >= 0.0))",
            "dropout rates are from 0 to below 1, the learning rate is above 0 and at most 1, weights of "
            "loss terms "
            "are at least 0; change the bounds",
            _outside_its_domain,
        ),
    )

    @property
    def attribute(self) -> str:
        """The name in Python and in CSV files, `learning_rate` for learningRate."""
        return attribute_name(self.name)


def preset_dimensions(name: str) -> tuple[SearchDimension, ...]:
    """The entries of a search-space preset."""
    return tuple(SearchDimension(**entry) for entry in SEARCH_PRESETS[name])
