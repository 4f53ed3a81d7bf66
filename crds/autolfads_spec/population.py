"""`spec.population`: how many members train, what is searched, who copies whom, and when it ends.

A member is one LFADS model. After each generation losers copy winners (exploit) and change the copied
hyperparameters (explore). The algorithm itself is the worker's `pbt` package.

References:
  Jaderberg et al. 2017, arXiv 1711.09846 (population based training);
  Keshtkaran et al. 2022, Nature Methods 19 (AutoLFADS).
"""

from typing import ClassVar, Literal

from pydantic import Field

from autolfads_spec.block import (
    DEFAULT_ELSEWHERE,
    FOR_NEXT_ATTEMPT,
    LARGEST_SEED,
    ONLY_GROW,
    Block,
    Rule,
    list_keyed_by,
)
from autolfads_spec.search_space import HYPERPARAMETER_NAMES, SearchDimension, preset_dimensions

__all__ = [
    "HYPERPARAMETER_NAMES",
    "Exploit",
    "Explore",
    "PopulationSpec",
    "SearchDimension",
    "Stopping",
]

TRUNCATION_FRACTION = 0.2


def _fraction_problem(e: "Exploit") -> str | None:
    if e.strategy == "BinaryTournament" and e.fraction is not None:
        return (
            f"wanted no fraction with BinaryTournament, found {e.fraction:g}; "
            "remove fraction, or use strategy Truncation"
        )
    return None


class Exploit(Block):
    """Who copies whom between two generations."""

    strategy: Literal["BinaryTournament", "Truncation"] = Field(
        "BinaryTournament",
        description="BinaryTournament: every member meets a random other one and copies it if that one "
        "is better; "
        "Truncation: the worst fraction copies members of the best fraction.",
    )
    fraction: float | None = Field(
        None,
        gt=0,
        le=0.5,
        json_schema_extra=DEFAULT_ELSEWHERE,
        description="Share of the members that is replaced, for Truncation; 0.2 by default.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("strategy", "fraction"),
            "self.strategy == 'Truncation' || !has(self.fraction)",
            "BinaryTournament takes no fraction; remove fraction, or use strategy Truncation",
            _fraction_problem,
        ),
    )

    def _complete(self) -> None:
        if self.strategy == "Truncation" and self.fraction is None:
            object.__setattr__(self, "fraction", TRUNCATION_FRACTION)


def _resampling_problem(e: "Explore") -> str | None:
    if e.strategy == "Resample" and e.resample_probability > 0:
        return (
            f"wanted resampleProbability only with Perturb, found {e.resample_probability:g} with Resample, "
            "which always draws anew; remove resampleProbability, or use strategy Perturb"
        )
    return None


class Explore(Block):
    """How a member that copied another changes the hyperparameters."""

    strategy: Literal["Perturb", "Resample"] = Field(
        "Perturb",
        description="Perturb: move each value by a random factor; Resample: draw each value anew.",
    )
    resample_probability: float = Field(
        0.0, ge=0, le=1, description="Probability, for Perturb, that a value is drawn anew instead of moved."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("strategy", "resampleProbability"),
            "self.strategy == 'Perturb' || self.resampleProbability == 0.0",
            "Resample always draws anew; remove resampleProbability, or use strategy Perturb",
            _resampling_problem,
        ),
    )


class Stopping(Block):
    """When the search ends before its last generation."""

    patience: int = Field(
        5,
        ge=1,
        le=1000,
        description="Generations without improvement of the best member after which the run ends.",
    )
    min_improvement: float = Field(
        5e-4, ge=0, lt=1, description="Relative improvement within `patience` generations that counts as one."
    )
    max_hours: float | None = Field(
        None,
        gt=0,
        le=8760,
        description="Hours of training after which the run ends; without it there is no limit.",
    )


def _duplicate_names(p: "PopulationSpec") -> str | None:
    names = [d.name for d in p.search_space]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not twice:
        return None
    return (
        f"wanted each hyperparameter once in searchSpace, found {', '.join(twice)} more than once; remove one"
    )


def _nobody_replaced(p: "PopulationSpec") -> str | None:
    if p.exploit.fraction is None or int(p.exploit.fraction * p.size) >= 1:
        return None
    return (
        f"wanted exploit.fraction times size to be at least one member, found {p.exploit.fraction:g} x "
        f"{p.size}; "
        f"give a fraction of at least {1 / p.size:.2g}"
    )


class PopulationSpec(Block):
    """How many models train, what is searched, who copies whom, and when it ends."""

    size: int = Field(20, ge=2, le=512, description="Number of members (models) that train side by side.")
    generations: int = Field(
        50,
        ge=1,
        le=1000,
        json_schema_extra=ONLY_GROW,
        description="Largest number of generations; `stopping` may end the run earlier. Raised in a cluster, "
        "also after the end, it has another attempt go further once the present one has used up its own.",
    )
    epochs_per_generation: int = Field(
        25,
        ge=1,
        le=1000,
        description="Epochs between two selections; the first generation also trains until the ramps are "
        "over.",
    )
    seed: int = Field(
        0,
        ge=0,
        le=LARGEST_SEED,
        description="Seed of everything random in the run; the same seed repeats the run.",
    )
    search_space_preset: Literal["Default", "Tutorial", "AutoLFADSTF2", "LFADSTorch", "None"] = Field(
        "Default",
        description="The search space to start from: ours, or a published implementation's; None "
        "searches only "
        "what `searchSpace` lists.",
    )
    search_space: tuple[SearchDimension, ...] = Field(
        (),
        strict=False,
        max_length=len(HYPERPARAMETER_NAMES),
        json_schema_extra=list_keyed_by("name") | DEFAULT_ELSEWHERE,
        description="Searched hyperparameters; an entry replaces the preset's of the same name or is "
        "added to them.",
    )
    exploit: Exploit = Field(default_factory=Exploit, description="Who copies whom between two generations.")
    explore: Explore = Field(
        default_factory=Explore, description="How a member that copied another changes the hyperparameters."
    )
    stopping: Stopping = Field(
        default_factory=Stopping,
        json_schema_extra=FOR_NEXT_ATTEMPT,
        description="When the search ends before its last generation.",
    )
    metric: Literal["HeldIn", "HeldOut"] = Field(
        "HeldIn",
        description="The validation loss that selects members: of the spikes the encoders see, or of those "
        "they never see (held-out neurons, forward bins, samples left out by sampleValidationRate).",
    )
    smoothing: float = Field(
        0.7,
        gt=0,
        le=1,
        description="Weight of the newest epoch in the smoothed validation loss by which members are "
        "compared.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        # The list's key, `name`, is this rule's guard in the API server.
        Rule(("searchSpace",), "", "", _duplicate_names),
        Rule(
            ("size", "exploit"),
            "self.exploit.strategy != 'Truncation'"
            " || (has(self.exploit.fraction) ? self.exploit.fraction : 0.2) * double(self.size) >= 1.0",
            "exploit.fraction times size is less than one member; give a larger fraction",
            _nobody_replaced,
        ),
    )

    def _complete(self) -> None:
        own = {d.name: d for d in self.search_space}
        preset = preset_dimensions(self.search_space_preset)
        merged = [own.pop(d.name, d) for d in preset]
        object.__setattr__(self, "search_space", (*merged, *own.values()))

    def without_preset_entries(self, names: tuple[str, ...]) -> "PopulationSpec":
        """The same, minus the entries of these names that are just as the preset has them."""
        preset = preset_dimensions(self.search_space_preset)
        kept = tuple(d for d in self.search_space if d.name not in names or d not in preset)
        return self.model_copy(update={"search_space": kept})
