"""`spec.output`, and the names of everything a run writes.

`RunPaths` is string work only: the same names in a folder and in Cloud Storage. Nothing else in the project
spells a path of a run.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from autolfads_spec.block import FOR_NEXT_ATTEMPT, LIST_OF_UNIQUE, Block, Rule, wanted
from autolfads_spec.data import ADDRESS_PHRASE, address_rule


class OutputSpec(Block):
    """Where results go, and which."""

    uri: str = Field(
        min_length=1,
        max_length=1024,
        examples=["gs://my-lab/runs/monkey-reach"],
        json_schema_extra=wanted(ADDRESS_PHRASE),
        description="Folder of the results, in Cloud Storage (gs://…) or on this machine; made when it "
        "is missing.",
    )
    posterior_samples: int = Field(
        50,
        ge=0,
        le=10000,
        json_schema_extra=FOR_NEXT_ATTEMPT,
        description="Posterior samples a trial over which rates and factors are averaged; 0 takes the "
        "posterior mean.",
    )
    formats: tuple[Literal["HDF5", "Matlab"], ...] = Field(
        ("HDF5", "Matlab"),
        strict=False,
        min_length=1,
        max_length=2,
        json_schema_extra=FOR_NEXT_ATTEMPT | LIST_OF_UNIQUE,
        description="File formats of the rates: HDF5 (rates.h5), Matlab (rates.mat), or both.",
    )
    report: bool = Field(
        True,
        json_schema_extra=FOR_NEXT_ATTEMPT,
        description="Whether a report with figures, and TensorBoard's event files, are written beside the "
        "rates.",
    )
    keep_generations: int = Field(
        2,
        ge=1,
        le=1000,
        json_schema_extra=FOR_NEXT_ATTEMPT,
        description="Generations whose checkpoints are kept, counted from the last; the best member "
        "always is.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        address_rule(),
        Rule(
            ("formats",),
            "",  # the list type `set` is the guard in the API server
            "",
            lambda o: (
                "wanted each format once, found one twice; remove it"
                if len(set(o.formats)) < len(o.formats)
                else None
            ),
        ),
    )

    @property
    def paths(self) -> "RunPaths":
        """The names of everything below `uri`."""
        return RunPaths(self.uri)


@dataclass(frozen=True)
class RunPaths:
    """Names below a run's output folder, `root`: a path of this machine or gs://bucket/prefix.

    An empty root gives names relative to the folder, as a `Store` takes them.
    """

    root: str

    def path(self, name: str) -> str:
        """`name` below the root."""
        return f"{self.root.rstrip('/')}/{name}" if self.root else name

    @property
    def rates(self) -> str:
        """Rates, factors and all other posterior averages, HDF5."""
        return self.path("rates.h5")

    @property
    def rates_matlab(self) -> str:
        """The same for MATLAB, axes as MATLAB users have them."""
        return self.path("rates.mat")

    @property
    def results(self) -> str:
        """Metrics, versions, fingerprints and checksums."""
        return self.path("results.json")

    @property
    def population(self) -> str:
        """A row a member and generation: score and losses."""
        return self.path("population.csv")

    @property
    def decisions(self) -> str:
        """A row a member and generation: who was copied, and what changed."""
        return self.path("decisions.csv")

    @property
    def hyperparameters(self) -> str:
        """A row a member and generation: the values it trained with."""
        return self.path("hyperparameters.csv")

    @property
    def data_check(self) -> str:
        """What the data check found."""
        return self.path("data_check.json")

    @property
    def run_yaml(self) -> str:
        """The run as it was trained, every default written out."""
        return self.path("run.yaml")

    @property
    def best_weights(self) -> str:
        """Weights of the best member, named arrays."""
        return self.path("best/weights.npz")

    @property
    def best_settings(self) -> str:
        """Model, hyperparameters and origin of the best member."""
        return self.path("best/settings.json")

    @property
    def manifest(self) -> str:
        """Pointer to the last committed generation."""
        return self.path("manifest.json")

    @property
    def report(self) -> str:
        """The report, one self-contained page."""
        return self.path("report/report.html")

    def report_figure(self, name: str) -> str:
        """A figure of the report, as an image of its own."""
        return self.path(f"report/{name}.png")

    def event_file(self, member: int) -> str:
        """TensorBoard's curves of this member; the name tells TensorBoard what it is."""
        return self.path(f"tensorboard/member_{member:03d}/events.out.tfevents.0.autolfads")

    def training_log(self, member: int) -> str:
        """A row an epoch of this member."""
        return self.path(f"training_logs/member_{member:03d}.csv")

    @property
    def lease(self) -> str:
        """Which driver the run belongs to."""
        return self.path("lease.json")

    @property
    def wish(self) -> str:
        """What the operator wants of the driver."""
        return self.path("wish.json")

    @property
    def cost(self) -> str:
        """What the run has cost so far, as the operator estimates."""
        return self.path("cost.json")

    def attempt_end(self, attempt: int) -> str:
        """Why the driver of an attempt ended."""
        return self.path(f"attempts/{attempt:02d}/end.json")

    @property
    def timing(self) -> str:
        """A row a generation and cohort: how long it took, and where; the only table with measured times."""
        return self.path("timing.csv")

    def generation_record(self, generation: int) -> str:
        """The population after this generation, never changed once committed."""
        return self.path(f"generations/{generation:06d}.json")

    def copy_of(self, name: str) -> str:
        """The copy beside a generation's record or log, for when the file itself is damaged."""
        stem, dot, suffix = name.rpartition(".")
        return f"{stem}.copy{dot}{suffix}"

    # The names below carry attempt and driver epoch, so that a superseded driver overwrites nothing.

    def generation_log(self, generation: int, attempt: int, driver_epoch: int) -> str:
        """What was measured in each epoch of this generation, all members."""
        return self.path(f"generations/{generation:06d}-{_writer(attempt, driver_epoch)}.npz")

    def checkpoint(self, generation: int, cohort: int, attempt: int, driver_epoch: int) -> str:
        """State of a cohort after a generation."""
        writer = _writer(attempt, driver_epoch)
        return self.path(f"checkpoints/{generation:06d}/cohort_{cohort:03d}-{writer}.npz")

    def best_checkpoint(self, generation: int, attempt: int, driver_epoch: int) -> str:
        """State of the best member until this generation, as it was when it became that."""
        return self.path(f"checkpoints/{generation:06d}/best-{_writer(attempt, driver_epoch)}.npz")


def _writer(attempt: int, driver_epoch: int) -> str:
    return f"attempt_{attempt:02d}-driver_{driver_epoch:04d}"
