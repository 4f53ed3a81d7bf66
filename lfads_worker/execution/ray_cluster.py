"""Starts Ray on this machine, or joins a cluster, and ends that again.

One of the modules that import Ray; which they are is a contract in `pyproject.toml`. Knows
nothing of cohorts and workers.
"""

import contextlib
import gc
import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import psutil
import ray
from ray.exceptions import AuthenticationError

from lfads_worker.errors import DeviceError
from lfads_worker.execution import ray_environment
from lfads_worker.execution.ray_environment import PrivateRay

# Shared memory for the recording, states and posterior averages on their way; only what is used is taken.
OBJECT_STORE_BYTES = 2**30

# Ray gives a node that it starts 30 s, which no setting changes; on a busy machine that can be too little.
STARTS = 3
SECONDS_TO_END = 10.0

Started = TypeVar("Started")
logger = logging.getLogger(__name__)


class RayConnection:
    """This process as a driver of Ray, until closed; there can be one in a process."""

    def __init__(self, address: str | None, workers: int, gpus: bool, environment: Mapping[str, str]) -> None:
        """Starts or joins Ray.

        Args:
          address: of a running cluster; None starts Ray on this machine and ends it again.
          workers: for how many there must be room on this machine; a cluster has the room that it has.
          gpus: each of them takes a GPU.
          environment: of the processes of workers.

        Raises:
          DeviceError: if the cluster cannot be joined, or Ray does not start.
        """
        self._private = None if address else PrivateRay()
        try:
            ray_environment.silence()
            if address:
                _join(address, environment)
            else:
                started_here(lambda: _start(workers, gpus, environment))
        except BaseException:  # an interrupt, too, must not leave processes behind
            self.close()
            raise

    def has_node(self, node: str) -> bool:
        """Whether a machine is part of the cluster, and lives."""
        return any(one["Alive"] for one in ray.nodes() if one["NodeID"] == node)

    def close(self) -> None:
        """Ends what was started; may be called twice."""
        if ray.is_initialized():
            ray.shutdown()
        if self._private is not None:
            self._private.close()


def first_line(error: BaseException) -> str:
    """What one of Ray's long messages says."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def started_here(start: Callable[[], Started]) -> Started:
    """What `start` gives, which starts Ray on this machine; it is called again when that takes Ray too long.

    What an attempt that failed has left of processes is ended.

    Raises:
      DeviceError: if Ray has not started in time after several attempts.
    """
    this = psutil.Process()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for attempt in range(1, STARTS + 1):
            before = this.children(recursive=True)
            try:
                return start()
            except BaseException as error:
                if not ray.is_initialized():
                    _end([child for child in this.children(recursive=True) if child not in before])
                reason = _lateness(error)
                if reason is None:
                    raise
            gc.collect()  # Ray's objects for the processes just ended remark on those when they go
            logger.warning("Ray did not start in time (%s); attempt %d of %d", reason, attempt, STARTS)
    raise DeviceError(
        f"--workers: wanted Ray to start, found that it did not in time, {STARTS} times ({reason}); most "
        "often the machine is too busy: run the same command again, or without Ray by --workers 0"
    )


def _lateness(error: BaseException) -> str | None:
    """The line of a message that tells that a node, or Ray's control service, needed too long.

    Ray has no class of its own for that; the same ones come of faults that another start only repeats.
    """
    if type(error) not in (Exception, RuntimeError, TimeoutError):
        return None
    lines = str(error).splitlines()
    return next((line.strip() for line in lines if "timed out" in line.lower()), None)


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=SECONDS_TO_END)


def _start(workers: int, gpus: bool, environment: Mapping[str, str]) -> None:
    """Starts Ray on this machine, with room for so many workers."""
    ray.init(
        address="local",
        num_cpus=workers,
        num_gpus=workers if gpus else 0,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        **_common(environment),
    )


def _join(address: str, environment: Mapping[str, str]) -> None:
    """Joins a cluster.

    Raises:
      DeviceError: if nothing listens there, or it does not let this process in.
    """
    ray_environment.require_reachable(address)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address, **_common(environment))
    except (AuthenticationError, ConnectionError) as error:
        raise DeviceError(
            f"RAY_ADDRESS: wanted to join the Ray cluster at {address}, found that it does not let this "
            f"process in ({first_line(error)}); most often the token is missing or another one: set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH, to what the cluster was "
            "started with"
        ) from error


def _common(environment: Mapping[str, str]) -> dict[str, Any]:
    logging.getLogger("ray").setLevel(logging.ERROR)  # ray.init warns before it applies logging_level
    return {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "runtime_env": {"env_vars": dict(environment)},
    }
