"""An AutoLFADSRun as a whole, from YAML and back.

`load_run` is the door: whatever passes it is complete (every default filled in) and consistent, and later
code never checks again. All problems of a document are reported at once.
"""

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationError

from autolfads_spec import document
from autolfads_spec.block import ANY_TIME, FIELD_BY_FIELD, Block, Rule, wanted
from autolfads_spec.compute import ComputeSpec
from autolfads_spec.data import DataSpec
from autolfads_spec.errors import SpecError
from autolfads_spec.lifecycle import BudgetSpec, ResumeSpec, RetrySpec, ScheduleSpec, TTLSpec
from autolfads_spec.model import ModelSpec
from autolfads_spec.output import OutputSpec
from autolfads_spec.population import PopulationSpec
from autolfads_spec.search_space import CONTROLLER_HYPERPARAMETERS
from autolfads_spec.training import TrainingSpec

GROUP = "autolfads.dev"
VERSION = "v1alpha1"
KIND = "AutoLFADSRun"
API_VERSION = f"{GROUP}/{VERSION}"
# 40, because a RayJob is called <run>-a<NN> and may have 47 characters; DNS-1035, because services are named
# after it.
NAME = "^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$"


def _data_below_output(spec: "RunSpec") -> str | None:
    output = spec.output.uri.rstrip("/") if "://" in spec.output.uri else posixpath.normpath(spec.output.uri)
    data = spec.data.uri if "://" in spec.data.uri else posixpath.normpath(spec.data.uri)
    if not f"{data}/".startswith(f"{output.rstrip('/')}/"):
        return None
    return (
        f"wanted data.uri outside the output folder, found '{spec.data.uri}' in '{spec.output.uri}'; "
        "move the recording, or choose another output.uri"
    )


def _searched_without_controller(spec: "RunSpec") -> str | None:
    if spec.model.has_controller:
        return None
    population = spec.population.without_preset_entries(CONTROLLER_HYPERPARAMETERS)
    idle = [d.name for d in population.search_space if d.name in CONTROLLER_HYPERPARAMETERS]
    if not idle:
        return None
    widths = ("ciEncoderUnits", "controllerUnits", "inferredInputs")
    values = (spec.model.ci_encoder_units, spec.model.controller_units, spec.model.inferred_inputs)
    zeros = ", ".join(name for name, value in zip(widths, values, strict=True) if value == 0)
    return (
        f"wanted a controller for the searched {', '.join(idle)}, found none, since model.{zeros} is 0; "
        f"remove {', '.join(idle)} from population.searchSpace, or give the model a controller"
    )


def _cohort_too_large(spec: "RunSpec") -> str | None:
    members, size = spec.compute.members_per_cohort, spec.population.size
    if not isinstance(members, int) or members <= size:
        return None
    return (
        f"wanted compute.membersPerCohort of at most population.size, found {members} and {size}; "
        "lower membersPerCohort or raise size"
    )


def _too_many_workers(spec: "RunSpec") -> str | None:
    workers, size = spec.compute.workers.desired, spec.population.size
    if workers <= size:
        return None
    return (
        f"wanted compute.workers.desired of at most population.size, found {workers} and {size}; "
        "lower desired: a worker without a member only costs money"
    )


class RunSpec(Block):
    """What is asked for."""

    data: DataSpec = Field(description="Where the spikes are, how they are binned, and what is held back.")
    output: OutputSpec = Field(json_schema_extra=FIELD_BY_FIELD, description="Where results go, and which.")
    model: ModelSpec = Field(
        default_factory=ModelSpec,
        description="Widths of the network, priors, and the distribution of the spikes.",
    )
    training: TrainingSpec = Field(
        default_factory=TrainingSpec, description="Minibatches, optimiser, regularisation and ramps."
    )
    population: PopulationSpec = Field(
        default_factory=PopulationSpec,
        json_schema_extra=FIELD_BY_FIELD,
        description="How many models train, what is searched, who copies whom, and when it ends.",
    )
    compute: ComputeSpec = Field(
        default_factory=ComputeSpec,
        json_schema_extra=FIELD_BY_FIELD,
        description="On which machines the population trains; a local run ignores most of it.",
    )
    suspend: bool = Field(
        False,
        json_schema_extra=ANY_TIME,
        description="Pause at the end of the generation and release the machines; false goes on from there.",
    )
    schedule: ScheduleSpec = Field(
        default_factory=ScheduleSpec,
        json_schema_extra=ANY_TIME,
        description="When the run may start and by when it must end.",
    )
    retry: RetrySpec = Field(
        default_factory=RetrySpec,
        json_schema_extra=ANY_TIME,
        description="How often lost machines are replaced.",
    )
    resume: ResumeSpec = Field(
        default_factory=ResumeSpec,
        description="What happens with an earlier run's state under the output folder.",
    )
    budget: BudgetSpec = Field(
        default_factory=BudgetSpec,
        json_schema_extra=ANY_TIME,
        description="What the run may cost in a cluster.",
    )
    ttl: TTLSpec = Field(
        default_factory=TTLSpec,
        json_schema_extra=ANY_TIME,
        description="How long machines and the run itself stay after it has ended.",
    )
    deletion_policy: Literal["Stop", "Abandon"] = Field(
        "Stop",
        json_schema_extra=ANY_TIME,
        description="When the run is deleted: Stop lets it end its training step and commit first, "
        "Abandon drops it at once.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            ("data.uri", "output.uri"),
            "!(self.data.uri + '/').startsWith("
            "self.output.uri.endsWith('/') ? self.output.uri : self.output.uri + '/')",
            "wanted data.uri outside the output folder; move the recording, or choose another output.uri",
            _data_below_output,
        ),
        Rule(
            (
                "model.ciEncoderUnits",
                "model.controllerUnits",
                "model.inferredInputs",
                "population.searchSpace",
            ),
            "!has(self.population.searchSpace)"
            " || !((has(self.model.ciEncoderUnits) && self.model.ciEncoderUnits == 0)"
            " || (has(self.model.controllerUnits) && self.model.controllerUnits == 0)"
            " || (has(self.model.inferredInputs) && self.model.inferredInputs == 0))"
            " || !self.population.searchSpace.exists(d,"
            " d.name in ['l2Controller', 'l2CiEncoder', 'klInferredInputs'])",
            "wanted a controller for the searched l2Controller, l2CiEncoder or klInferredInputs; "
            "remove them from population.searchSpace, or give the model a controller",
            _searched_without_controller,
        ),
        Rule(
            ("compute.membersPerCohort", "population.size"),
            "type(self.compute.membersPerCohort) == string || self.compute.membersPerCohort <= "
            "self.population.size",
            "wanted compute.membersPerCohort of at most population.size; lower membersPerCohort or raise "
            "size",
            _cohort_too_large,
        ),
        Rule(
            ("compute.workers.desired", "population.size"),
            "self.compute.workers.desired <= self.population.size",
            "wanted compute.workers.desired of at most population.size; lower desired",
            _too_many_workers,
        ),
    )

    def _complete(self) -> None:
        if not self.model.has_controller:
            population = self.population.without_preset_entries(CONTROLLER_HYPERPARAMETERS)
            object.__setattr__(self, "population", population)


def _not_in_storage(field: str, uri: str) -> str | None:
    if uri.startswith("gs://"):
        return None
    return (
        f"wanted {field} in Cloud Storage (gs://…) for a run in a cluster, found '{uri}'; copy it to a bucket"
    )


# Enforced by the API server, and by `cluster_problems`; a run on one machine need not keep them.
CLUSTER_RULES: tuple[Rule, ...] = (
    Rule(
        ("data.uri",),
        "self.data.uri.startsWith('gs://')",
        "wanted data.uri in Cloud Storage (gs://...) for a run in a cluster; copy the recording to a bucket",
        lambda spec: _not_in_storage("the recording", spec.data.uri),
    ),
    Rule(
        ("output.uri",),
        "self.output.uri.startsWith('gs://')",
        "wanted output.uri in Cloud Storage (gs://...) for a run in a cluster; name a folder of a bucket",
        lambda spec: _not_in_storage("the output folder", spec.output.uri),
    ),
    Rule(
        ("compute.accelerator",),
        "has(self.compute.accelerator)",
        "wanted compute.accelerator for a run in a cluster; add it, for example accelerator: {type: "
        "nvidia-l4}",
        lambda spec: (
            "wanted an accelerator for a run in a cluster, found none; add it, for example {type: nvidia-l4}"
            if spec.compute.accelerator is None
            else None
        ),
    ),
)


class Metadata(Block):
    """The run's name, and what else Kubernetes keeps about it that a user writes."""

    name: str = Field(
        min_length=1,
        max_length=40,
        pattern=NAME,
        json_schema_extra=wanted(
            "at most 40 lower-case letters, digits and dashes, a letter first and no dash at the end"
        ),
        examples=["monkey-reach"],
        description="Name of the run.",
    )
    namespace: str | None = Field(None, max_length=63, description="Kubernetes namespace of the run.")
    labels: dict[str, str] = Field(default_factory=dict, max_length=64, description="Kubernetes labels.")
    annotations: dict[str, str] = Field(
        default_factory=dict, max_length=64, description="Kubernetes annotations."
    )


class AutoLFADSRun(Block):
    """One AutoLFADS run: a recording in, firing rates and factors out."""

    api_version: Literal["autolfads.dev/v1alpha1"] = Field(
        "autolfads.dev/v1alpha1", description="Version of this form."
    )
    kind: Literal["AutoLFADSRun"] = Field("AutoLFADSRun", description="What this document describes.")
    metadata: Metadata = Field(description="The run's name.")
    spec: RunSpec = Field(description="What is asked for.")


# Kubernetes adds these to an object; they are nobody's to write and nothing of the run.
_SERVER_METADATA = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)


def load_run(source: str | Path | Mapping[str, Any]) -> AutoLFADSRun:
    """The run in a YAML file, in YAML text (anything with a line break or ": " in it), or in a mapping.

    Raises:
      SpecError: one sentence for every problem of the document.
    """
    if isinstance(source, Mapping):
        parsed = document.Document(dict(source), {}, "the object")
    elif isinstance(source, Path) or not ("\n" in source or ": " in source or not source.strip()):
        parsed = document.read(Path(source))
    else:
        parsed = document.parse(source, "the text")
    content = _without_empty_blocks(parsed.content, AutoLFADSRun)
    document.check_kind(content, API_VERSION, KIND, parsed)
    content.pop("status", None)
    if isinstance(content.get("metadata"), Mapping):
        content["metadata"] = {k: v for k, v in content["metadata"].items() if k not in _SERVER_METADATA}
    try:
        return AutoLFADSRun.model_validate(content, by_alias=True, by_name=False)
    except ValidationError as error:
        # Imported only now: a good document needs no schema to explain it with.
        from autolfads_spec import explain

        raise SpecError(*explain.all_problems(AutoLFADSRun, content, error, parsed.lines)) from error


def _without_empty_blocks(content: Mapping[str, Any], model: type[Block]) -> dict[str, Any]:
    """`population:` with nothing below it means what leaving it out means; so it does in a cluster."""
    result = dict(content)
    for name, child in model.blocks_inside():
        if name in result and result[name] is None:
            del result[name]
        elif isinstance(result.get(name), Mapping):
            result[name] = _without_empty_blocks(result[name], child)
    return result


def dump_run(run: AutoLFADSRun) -> str:
    """YAML of a run, every default written out; `load_run` reads the same run from it."""
    content = run.model_dump(mode="json", by_alias=True, exclude_none=True)
    content["metadata"] = {key: value for key, value in content["metadata"].items() if value}
    return document.dump(content)


def cluster_problems(run: AutoLFADSRun) -> tuple[str, ...]:
    """What keeps a run that is good on a laptop from running in a cluster; empty when nothing does."""
    found = ((rule.fields[0], rule.broken(run.spec)) for rule in CLUSTER_RULES)
    return tuple(f"spec.{field}: {sentence}" for field, sentence in found if sentence)
