"""`spec.data`: where the spikes are, how they are binned, and which part of them is held back.

It describes the recording; reading and checking it is the worker's `data` package.
"""

import math
import re
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from autolfads_spec.block import LARGEST_SEED, Block, Rule, wanted

# With or without its slashes: gs:/lab is a slip, and no folder.
GS_SCHEME = "gs:"
# Three to 222 characters: a bucket's name, with dots for the domain-named ones.
GS_ADDRESS = r"^gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]/.+$"
ADDRESS_PHRASE = "gs://bucket/path, or a path of this machine"
WHOLE_MULTIPLE_TOLERANCE = 1e-6


def address_problem(uri: str) -> str | None:
    """The sentence for an address that is neither in Cloud Storage nor a path; None when it is one."""
    in_bucket = uri.startswith(GS_SCHEME)
    if re.fullmatch(GS_ADDRESS, uri) or not (in_bucket or "://" in uri):
        return None
    if uri.startswith("file://"):
        cure = "write the path without file://"
    elif not in_bucket:
        cure = "give one of these"
    elif re.fullmatch(r"gs://[^/]+/?", uri):
        cure = "add a path in the bucket after its name"
    else:
        cure = "a bucket's name has lower-case letters, digits, dots, dashes and underscores only"
    return f"wanted {ADDRESS_PHRASE}, found '{uri}'; {cure}"


def address_rule(field: str = "uri") -> Rule:
    """Cloud Storage or a plain path: nothing else can be read."""
    return Rule(
        (field,),
        f"!(self.{field}.contains('://') || self.{field}.startsWith('{GS_SCHEME}')) "
        f"|| self.{field}.matches('{GS_ADDRESS}')",
        f"{field}: wanted gs://bucket/path, with a bucket's name of lower-case letters, digits, dots, "
        "dashes and underscores, or a path without a scheme",
        lambda block: address_problem(getattr(block, field)),
    )


class ValidationSplit(Block):
    """Which trials are kept for validation: every n-th trial, or a random fraction."""

    every_nth: int | None = Field(
        None,
        ge=2,
        le=1000,
        description="Every n-th trial (0, n, 2n, …) is used for validation; 5 when `fraction` is not given.",
    )
    fraction: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of the trials, drawn at random, that is used for validation; instead of "
        "`everyNth`.",
    )
    seed: int = Field(
        0,
        ge=0,
        le=LARGEST_SEED,
        description="Seed of the draw that `fraction` makes; without it nothing is drawn.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("everyNth", "fraction"),
            "!(has(self.everyNth) && has(self.fraction))",
            "wanted either everyNth or fraction, found both; remove one of them",
            lambda s: (
                f"wanted either everyNth or fraction, found both ({s.every_nth} and {s.fraction:g}); "
                "remove one of them"
                if s.every_nth is not None and s.fraction is not None
                else None
            ),
        ),
        Rule(
            ("seed",),
            "self.seed == 0 || has(self.fraction)",
            "seed has no effect with everyNth, which draws nothing; remove seed or give fraction",
            lambda s: (
                f"wanted fraction beside seed, found seed {s.seed} with everyNth, which draws nothing; "
                "remove seed or give fraction"
                if s.seed != 0 and s.fraction is None
                else None
            ),
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _every_fifth_by_default(cls, value: Any) -> Any:
        given = {"everyNth", "every_nth", "fraction"}
        if isinstance(value, dict) and not any(value.get(key) is not None for key in given):
            return {**{key: v for key, v in value.items() if key not in given}, "everyNth": 5}
        return value


def _rebinning_problem(data: "DataSpec") -> str | None:
    if data.bin_width_ms is None or data.rebin_ms is None:
        return None
    ratio = data.rebin_ms / data.bin_width_ms
    if ratio > 0.5 and math.isclose(ratio, round(ratio), abs_tol=WHOLE_MULTIPLE_TOLERANCE, rel_tol=0):
        return None
    return (
        f"wanted rebinMs to be a whole multiple of binWidthMs, found rebinMs {data.rebin_ms:g} and "
        f"binWidthMs {data.bin_width_ms:g}; change rebinMs, for example to "
        f"{max(1, round(ratio)) * data.bin_width_ms:g}"
    )


class DataSpec(Block):
    """Where the spikes are, how they are binned, and what is held back from the model."""

    uri: str = Field(
        min_length=1,
        max_length=1024,
        examples=["gs://my-lab/data/reach.mat"],
        json_schema_extra=wanted(ADDRESS_PHRASE),
        description="The recording: a MATLAB, HDF5 or npz file in Cloud Storage (gs://…) or on this machine.",
    )
    format: Literal["Auto", "Matlab", "LFADS", "LFADSTorch", "NLB", "Npz"] = Field(
        "Auto", description="Layout of the file; Auto recognises it by its contents."
    )
    variable: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="Name of the spike counts in the file; the default is `spikes`, then `spike`, then "
        "`data`.",
    )
    layout: Literal["Auto", "NeuronsTimeTrials", "TrialsTimeNeurons"] = Field(
        "Auto",
        description="Order of the axes as the program that wrote the file shows it; "
        "Auto finds it and refuses a file where it is ambiguous.",
    )
    bin_width_ms: float | None = Field(
        None,
        gt=0,
        le=10000,
        description="Width of a bin in the file, in milliseconds; the default is what the file says.",
    )
    rebin_ms: float | None = Field(
        None,
        gt=0,
        le=10000,
        description="Width of the bins the model sees, in milliseconds, a whole multiple of the file's; "
        "the default is the file's.",
    )
    validation: ValidationSplit = Field(
        default_factory=ValidationSplit, description="Which trials are kept for validation; all others train."
    )
    held_out_neurons: int = Field(
        0,
        ge=0,
        le=100000,
        description="The last n neurons are never shown to the encoders, only predicted (co-smoothing).",
    )
    forward_bins: int = Field(
        0,
        ge=0,
        le=100000,
        description="The last n bins, after rebinning, are never shown to the encoders, only predicted.",
    )
    external_inputs: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="Name of the variable with known inputs to the generator; by default there are none.",
    )
    sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        max_length=64,
        json_schema_extra=wanted("64 hexadecimal digits in lower case, as `sha256sum` prints them"),
        description="Checksum of the file; a run whose file differs is refused instead of trained on "
        "other data.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        address_rule(),
        Rule(
            ("binWidthMs", "rebinMs"),
            "!has(self.binWidthMs) || !has(self.rebinMs) || ("
            "self.rebinMs / self.binWidthMs > 0.5"
            " && self.rebinMs / self.binWidthMs - double(int(self.rebinMs / self.binWidthMs + 0.5)) < "
            "0.000001"
            " && self.rebinMs / self.binWidthMs - double(int(self.rebinMs / self.binWidthMs + 0.5)) > "
            "-0.000001)",
            "wanted rebinMs to be a whole multiple of binWidthMs; change rebinMs",
            _rebinning_problem,
        ),
        Rule(
            ("externalInputs",),
            "!has(self.externalInputs) || !has(self.variable) || self.externalInputs != self.variable",
            "externalInputs and variable name the same array; name the array with the inputs",
            lambda d: (
                f"wanted another array in externalInputs than in variable, found '{d.variable}' in both; "
                "name the array with the inputs, or remove externalInputs"
                if d.external_inputs is not None and d.external_inputs == d.variable
                else None
            ),
        ),
    )

    def final_bin_width_ms(self) -> float | None:
        """Width of the bins the model sees, in milliseconds, as far as run.yaml knows it."""
        return self.rebin_ms or self.bin_width_ms

    def local(self) -> bool:
        """Whether the recording lies on this machine rather than in Cloud Storage."""
        return not self.uri.startswith("gs://")
