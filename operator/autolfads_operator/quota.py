"""How many accelerators the project may have: read from the Compute Engine API, remembered for a while.

Advisory: what cannot be read is unknown, with a sentence that says why, and never an error, because GKE
itself has the last word when it makes a node. Two questions answer for all runs: one about the region, one
about the project. The client library is not asynchronous, so they are asked in a thread.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import google.auth
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession

from autolfads_operator.observed import Quota
from autolfads_operator.pools import PoolProvisioning

GOOGLE = "https://compute.googleapis.com"
SCOPES = ("https://www.googleapis.com/auth/compute.readonly",)
ALL_REGIONS = "GPUS_ALL_REGIONS"
KEPT_SECONDS = 600.0
# After trouble that may pass by itself, unlike a permission that is missing.
KEPT_AFTER_TROUBLE_SECONDS = 60.0
TIMEOUT_SECONDS = 10.0
NAMES = {
    "nvidia-tesla-k80": "NVIDIA_K80_GPUS",
    "nvidia-tesla-p4": "NVIDIA_P4_GPUS",
    "nvidia-tesla-p100": "NVIDIA_P100_GPUS",
    "nvidia-tesla-t4": "NVIDIA_T4_GPUS",
    "nvidia-tesla-v100": "NVIDIA_V100_GPUS",
    "nvidia-l4": "NVIDIA_L4_GPUS",
    "nvidia-tesla-a100": "NVIDIA_A100_GPUS",
    "nvidia-a100-80gb": "NVIDIA_A100_80GB_GPUS",
    "nvidia-h100-80gb": "NVIDIA_H100_GPUS",
}
# One question each: what to ask for, by what right, and whose numbers they are.
_PROJECT_RIGHT, _REGION_RIGHT = "compute.projects.get", "compute.regions.get"


class _Answer(NamedTuple):
    """Limit and usage by name; or why not."""

    numbers: Mapping[str, tuple[float, float]]
    problem: str
    until: float


class Quotas:
    """Quotas of one project in one region.

    Args:
      cluster: projects/P/locations/L/clusters/C; L may be a zone.
      endpoint: of a Compute Engine API without credentials; by default Google's, with those of this pod.
      monotonic: the clock by which an answer grows old.
    """

    def __init__(
        self, cluster: str, endpoint: str = "", *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        _, self._project, _, location, *_ = cluster.split("/")
        self.region = "-".join(location.split("-")[:2])
        self._endpoint, self._monotonic = endpoint, monotonic
        self._session: AuthorizedSession | None = None
        self._answers: dict[str, _Answer] = {}
        self._asking = asyncio.Lock()

    def close(self) -> None:
        """Give up the connection."""
        if self._session is not None:
            self._session.close()

    async def of(self, accelerator: str | None, provisioning: PoolProvisioning) -> tuple[Quota, ...]:
        """What nodes with this accelerator count against; nothing for CPU nodes.

        Spot and flex-start machines have quotas of their own, once the project was granted any; the one
        for all regions together is for the others.
        """
        if accelerator is None:
            return ()
        name = NAMES.get(accelerator)
        if name is None:
            unknown = f"wanted a known accelerator, found {accelerator}; its quota is not looked at"
            return (Quota("", None, None, self.region, unknown),)
        path = f"/compute/v1/projects/{self._project}"
        region = await self._answer(f"{path}/regions/{self.region}", _REGION_RIGHT)
        preemptible = f"PREEMPTIBLE_{name}"
        if provisioning != "OnDemand" and region.numbers.get(preemptible, (1.0, 0.0))[0] > 0:
            return (_quota(region, preemptible, self.region),)
        project = await self._answer(path, _PROJECT_RIGHT)
        return (_quota(region, name, self.region), _quota(project, ALL_REGIONS, ""))

    async def _answer(self, path: str, right: str) -> _Answer:
        async with self._asking:  # so that a hundred runs ask once
            known = self._answers.get(path)
            if known is None or known.until <= self._monotonic():
                known = await asyncio.to_thread(self._ask, path, right)
                self._answers[path] = known
            return known

    def _ask(self, path: str, right: str) -> _Answer:
        wanted = f"wanted the quotas of {path.removeprefix('/compute/v1/')}, found "
        cure = "; it is asked again"
        kept_seconds = KEPT_AFTER_TROUBLE_SECONDS
        try:
            reply = self._connected().get(
                f"{self._endpoint or GOOGLE}{path}", params={"fields": "quotas"}, timeout=TIMEOUT_SECONDS
            )
            if reply.status_code == 200:
                return _Answer(_numbers(reply.json()), "", self._monotonic() + KEPT_SECONDS)
            found = f"status {reply.status_code} ({_sentence(reply.text)})"
            if reply.status_code in (401, 403):
                kept_seconds = KEPT_SECONDS
                cure = (
                    f"; grant the operator's service account {right}, for example with roles/compute.viewer"
                )
        except GoogleAuthError as error:
            found, cure = str(error), "; bind the operator's Kubernetes service account by Workload Identity"
        except (OSError, ValueError, KeyError, TypeError) as error:  # no answer, or not what it should be
            found = f"{type(error).__name__}: {error}"
        return _Answer({}, f"{wanted}{found}{cure}", self._monotonic() + kept_seconds)

    def _connected(self) -> AuthorizedSession:
        if self._session is None:
            credentials: Any = AnonymousCredentials()
            if not self._endpoint:
                credentials, _ = google.auth.default(scopes=SCOPES)
            self._session = AuthorizedSession(credentials)
        return self._session


def _numbers(document: Any) -> dict[str, tuple[float, float]]:
    return {
        quota["metric"]: (float(quota["limit"]), float(quota["usage"]))
        for quota in document.get("quotas", ())
    }


def _quota(answer: _Answer, name: str, region: str) -> Quota:
    if answer.problem:
        return Quota(name, None, None, region, answer.problem)
    if name not in answer.numbers:
        unknown = f"wanted the quota {name}, found none of that name; look at the Google Cloud console"
        return Quota(name, None, None, region, unknown)
    limit, usage = answer.numbers[name]
    return Quota(name, limit, usage, region)


def _sentence(text: str) -> str:
    """Google's own, from its JSON; else the beginning of whatever came."""
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return text[:200]
