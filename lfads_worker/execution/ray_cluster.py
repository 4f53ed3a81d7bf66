"""Starts Ray on this machine, or joins a cluster, and ends that again.

One of the modules that import Ray; which they are is a contract in `pyproject.toml`. Knows
nothing of cohorts and workers.
"""

import logging
import warnings
from collections.abc import Mapping

import ray
from ray.exceptions import AuthenticationError

from lfads_worker.errors import DeviceError
from lfads_worker.execution import ray_environment
from lfads_worker.execution.ray_environment import PrivateRay

# Shared memory for the recording, states and posterior averages on their way; only what is used is taken.
OBJECT_STORE_BYTES = 2**30


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
          DeviceError: if the cluster cannot be joined.
        """
        self._private = None if address else PrivateRay()
        try:
            _start(address, workers, gpus, environment)
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


def first_line(error: Exception) -> str:
    """What one of Ray's long messages says."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def _start(address: str | None, workers: int, gpus: bool, environment: Mapping[str, str]) -> None:
    ray_environment.silence()
    if address is not None:
        ray_environment.require_reachable(address)
    here = {
        "num_cpus": workers,
        "num_gpus": workers if gpus else 0,
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": False,
    }
    logging.getLogger("ray").setLevel(logging.ERROR)  # ray.init warns before it applies logging_level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ray.init(
                address=address or "local",
                **({} if address else here),
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": dict(environment)},
            )
        except (AuthenticationError, ConnectionError) as error:
            if address is None:
                raise
            raise DeviceError(
                f"RAY_ADDRESS: wanted to join the Ray cluster at {address}, found that it does not let this "
                f"process in ({first_line(error)}); most often the token is missing or another one: set "
                "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH, to what the cluster was "
                "started with"
            ) from error
        except Exception as error:
            # Ray gives a new node 30 s and has no class of its own for one that needs longer.
            if type(error) is not Exception:
                raise
            raise DeviceError(
                f"--workers: wanted Ray to start, found that it did not in time ({first_line(error)}); most "
                "often the machine is too busy: run the same command again, or without Ray by --workers 0"
            ) from error
