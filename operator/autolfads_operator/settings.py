"""Everything about the operator itself that whoever installs it may choose, from the environment.

Each field is an environment variable with the prefix AUTOLFADS_: `poll_running_seconds` is
AUTOLFADS_POLL_RUNNING_SECONDS. What a run wants is in its own spec and never here. All times are
seconds; the bounds of the watchdog are here so that tests need not wait for minutes.
"""

import difflib
import re
import socket
import uuid
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from autolfads_operator import prices
from autolfads_operator.prices import PriceTable
from autolfads_spec import SpecError

PREFIX = "AUTOLFADS_"
OWN_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")


def own_namespace() -> str:
    """The namespace this pod runs in; `default` outside of a cluster."""
    try:
        return OWN_NAMESPACE_FILE.read_text().strip() or "default"
    except OSError:
        return "default"


def own_identity() -> str:
    """A name for this process that no other has, not even its successor in the same pod."""
    return f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"


class OperatorSettings(BaseSettings):
    """Settings of one operator process; every field is documented where it stands."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    namespaces: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Namespaces to watch, separated by commas; none means all, which needs a ClusterRole.",
    )
    kubeconfig: str | None = Field(
        None,
        description="Path of a kubeconfig; by default the pod's service account, else KUBECONFIG.",
    )
    worker_image: str = Field(
        "autolfads-worker:latest",
        min_length=1,
        description="Image of head and workers for runs that name none; the chart sets it by digest.",
    )
    worker_service_account: str = Field(
        "",
        pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$",
        description="Service account of head and workers for runs that name none; empty: the namespace's "
        "own `default`.",
    )
    worker_env: dict[str, str] = Field(
        default_factory=dict,
        description="JSON object of environment variables for head and workers of every run, for example "
        '{"STORAGE_EMULATOR_HOST": "..."} in tests.',
    )
    ray_version: str = Field(
        "2.60.0", pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$", description="Version of Ray in the worker image."
    )
    worker_cpu: str = Field(
        "4", min_length=1, description="CPU request of a worker for each of its accelerators."
    )
    worker_memory: str = Field(
        "16Gi", min_length=1, description="Memory request of a worker for each of its accelerators."
    )
    poll_starting_seconds: float = Field(
        5, gt=0, description="Pause between two looks at a run that starts, pauses or is deleted."
    )
    poll_running_seconds: float = Field(
        15, gt=0, description="Pause between two looks at a run that trains: how late its status may be."
    )
    poll_terminal_seconds: float = Field(
        600, gt=0, description="Pause between two looks at a run that is suspended or has ended."
    )
    status_interval_seconds: float = Field(
        10, ge=0, description="Least time between two writes of a run's status, unless a condition changed."
    )
    resync_seconds: float = Field(
        300,
        gt=0,
        description="How often names and versions of all watched objects are listed anew: heals a "
        "deletion that a broken watch did not tell.",
    )
    backoff_first_seconds: float = Field(2, gt=0, description="Pause after the first failure on a run.")
    backoff_longest_seconds: float = Field(300, gt=0, description="Longest pause after repeated failures.")
    api_timeout_seconds: float = Field(
        30, gt=0, description="Longest time for one request to Kubernetes, watches apart."
    )
    store_timeout_seconds: float = Field(
        30,
        gt=0,
        description="Longest time for one request to the output folder, retries of the client within.",
    )
    concurrency: int = Field(
        8,
        ge=1,
        le=64,
        description="Runs looked at, and output folders read, at the same time: bounds memory and threads.",
    )
    head_missing_seconds: float = Field(
        120,
        gt=0,
        description="How long the pod of a running head may be gone, or not ready before its driver has "
        "begun, until the attempt is given up.",
    )
    heartbeat_stale_seconds: float = Field(
        600,
        gt=0,
        description="How old a driver's heartbeat may be; at least heartbeat_generations generations.",
    )
    heartbeat_generations: float = Field(
        3, ge=0, description="A heartbeat is not stale before so many times the median generation."
    )
    pause_wait_seconds: float = Field(
        1800,
        gt=0,
        description="How long a driver may take to reach the end of its generation when suspended.",
    )
    delete_wait_seconds: float = Field(
        60, ge=0, description="How long a deleted run may take to stop by itself before its machines go."
    )
    driver_start_seconds: float = Field(
        600, gt=0, description="How long the driver may take to write its manifest once the head is ready."
    )
    lease_name: str = Field("autolfads-operator", description="Name of the Lease that one operator holds.")
    lease_namespace: str = Field(
        default_factory=own_namespace, description="Namespace of the Lease; by default the operator's own."
    )
    lease_seconds: float = Field(
        30, gt=0, description="How long the Lease of a dead operator keeps the next one waiting."
    )
    lease_renew_seconds: float = Field(5, gt=0, description="Pause between two renewals of the Lease.")
    lease_give_up_seconds: float = Field(
        20, gt=0, description="The process ends when it could not renew for so long; below lease_seconds."
    )
    leader_election: bool = Field(
        True, description="Whether the Lease is taken at all; off only to test what happens without it."
    )
    cluster: str = Field(
        "",
        pattern=r"^(projects/[^/]+/locations/[^/]+/clusters/[^/]+)?$",
        description="The GKE cluster this operator runs in, projects/P/locations/L/clusters/C; without it "
        "no node pools are made.",
    )
    install_id: str = Field(
        "",
        pattern=r"^([a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?)?$",
        description="Label value of everything this installation makes in Google Cloud; by default the uid "
        "of the namespace kube-system, which no other cluster has.",
    )
    price_table: str = Field(
        "",
        description="Path of a YAML or JSON table of prices, from which costs are estimated; empty: the one "
        "that comes with the operator. See docs/cost.md.",
    )
    pool_idle_seconds: float = Field(
        3600, ge=0, description="How long a shared node pool of ours stays when no run uses it."
    )
    sweep_seconds: float = Field(
        3600, gt=0, description="Pause between two looks for node pools of ours whose runs are gone."
    )
    cluster_busy_seconds: float = Field(
        15,
        gt=0,
        description="First wait when the cluster is at another operation; it doubles up to eight times that.",
    )
    cluster_manager_endpoint: str = Field(
        "", description="host:port of a Cluster Manager without TLS and without credentials, for tests only."
    )
    compute_endpoint: str = Field(
        "", description="URL of a Compute Engine API without credentials, for tests only."
    )
    identity: str = Field(default_factory=own_identity, description="Who holds the Lease; unique by default.")
    health_host: str = Field(
        "0.0.0.0", description="Address on which /livez, /readyz and /metrics are served."
    )
    health_port: int = Field(
        8080, ge=0, le=65535, description="Port of /livez, /readyz and /metrics; 0 takes any free one."
    )
    loop_lag_seconds: float = Field(
        30, gt=0, description="Lag of the event loop above which /livez says that the process is stuck."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level logged.")
    log_format: Literal["json", "text"] = Field(
        "json", description="json: one object a line, for machines; text: for a terminal."
    )

    @cached_property
    def prices(self) -> PriceTable:
        """The price table.

        Raises:
          SpecError: if it is none.
        """
        return prices.load(self.price_table)

    @field_validator("namespaces", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("namespaces")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if _NAME.match(name) is None:
                raise ValueError(
                    f"wanted names of namespaces separated by commas, found '{name}'; correct it"
                )
        return value

    @model_validator(mode="after")
    def _lease_order(self) -> "OperatorSettings":
        if self.lease_renew_seconds < self.lease_give_up_seconds < self.lease_seconds:
            return self
        raise ValueError(
            "wanted lease_renew_seconds < lease_give_up_seconds < lease_seconds, found "
            f"{self.lease_renew_seconds:g}, {self.lease_give_up_seconds:g} and {self.lease_seconds:g}; "
            "give the old leader time to stop before the next one may start"
        )


def load() -> OperatorSettings:
    """The settings of this process, from its environment, its price table read and checked.

    Raises:
      SpecError: one sentence for each variable that is not what it should be.
    """
    try:
        chosen = OperatorSettings()
    except SettingsError as error:  # what should be JSON and is not
        raise SpecError(
            f"{PREFIX}WORKER_ENV: wanted a JSON object of texts, found {error}; correct it"
        ) from error
    except ValidationError as error:
        raise SpecError(*(_sentence(problem) for problem in error.errors())) from error
    try:
        _ = chosen.prices
    except SpecError as error:
        name = f"{PREFIX}PRICE_TABLE"
        raise SpecError(*(f"{name}: {sentence}" for sentence in error.sentences)) from error
    return chosen


def misspelt(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that look like a setting and are none, each with the one that was probably meant.

    Others with our prefix are no mistake: Kubernetes adds AUTOLFADS_OPERATOR_SERVICE_HOST and the like.
    """
    known = [f"{PREFIX}{name.upper()}" for name in OperatorSettings.model_fields]
    found: dict[str, str] = {}
    for name in environment:
        if name.startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.85)
            found |= {name: near[0]} if near else {}
    return found


def _sentence(problem: Any) -> str:
    name = PREFIX + "_".join(str(part) for part in problem["loc"]).upper() if problem["loc"] else "settings"
    text = problem["msg"].removeprefix("Value error, ")
    if text.startswith("wanted"):
        return f"{name}: {text}"
    return f"{name}: wanted another value ({text}), found {problem['input']!r}; correct it"
