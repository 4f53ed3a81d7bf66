"""Ray that needs longer to start than it gives itself."""

import psutil
import pytest

from lfads_worker.errors import DeviceError
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.training.state import CohortTask

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

TOO_LATE = Exception("The current node timed out during startup. This could happen because")


@pytest.fixture
def failing(monkeypatch):
    """`failing(error)`: Ray cannot be started; the list of the times that it was tried."""
    import ray

    def fail_with(error):
        tried = []

        def fail(**options):
            tried.append(1)
            raise error

        monkeypatch.setattr(ray, "init", fail)
        return tried

    return fail_with


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(TOO_LATE, "The current node timed out during startup", id="node"),
        pytest.param(
            RuntimeError("Timed out waiting for file /tmp/port"), "Timed out waiting for file", id="port"
        ),
        pytest.param(
            RuntimeError(
                "Failed to start GCS.  Last 0 lines of error files:\n\n.Please check gcs_server.out. "
                "Last connection error: Traceback (most recent call last):\n"
                "ray.exceptions.RpcError: Timed out while waiting for GCS to become available.\n"
            ),
            "ray.exceptions.RpcError: Timed out while waiting",
            id="control service",
        ),
        pytest.param(TimeoutError("Timed out after 30 seconds"), "Timed out after 30 seconds", id="cluster"),
    ],
)
def test_a_ray_that_never_starts_in_time_is_a_sentence(failing, error, told):
    from lfads_worker.execution.ray_pool import RayPool

    tried = failing(error)

    with pytest.raises(DeviceError, match=rf"3 times \({told}.* --workers 0"):
        RayPool(ToyTrainer(), workers=1)
    assert len(tried) == 3


@pytest.mark.parametrize(
    "error",
    [
        Exception("Cannot include dashboard with missing packages."),
        RuntimeError("Failed to start GCS.  Last 1 lines of error files: no such option"),
        ValueError("it timed out, but not as Ray says it"),
    ],
    ids=["bare", "control service that ends", "another class"],
)
def test_a_fault_that_another_start_only_repeats_is_not_tried_again(failing, error):
    from lfads_worker.execution.ray_pool import RayPool

    tried = failing(error)

    with pytest.raises(type(error)) as raised:
        RayPool(ToyTrainer(), workers=1)
    assert raised.value is error
    assert len(tried) == 1


def test_a_ray_that_does_not_start_in_time_is_ended_and_started_again(monkeypatch, caplog):
    from ray._private import services

    from lfads_worker.execution import ray_cluster
    from lfads_worker.execution.ray_pool import RayPool

    stopped, start = [], services.start_ray_process
    task = CohortTask(
        0, 0, 0, 10, (0,), None, ({"learning_rate": 0.1, "dropout_rate": 0.2, "l2_generator": 0.01},)
    )

    def stop_the_first_raylet(command, process_type, *rest, **options):
        if process_type != "raylet" or stopped:
            return start(command, process_type, *rest, **options)
        # Before its first instruction: one that is stopped later may have come as far as to be there.
        command = ["sh", "-c", 'kill -STOP $$; exec "$@"', "sh", *command]
        started = start(command, process_type, *rest, **options)
        stopped.append(psutil.Process(started.process.pid))
        return started

    monkeypatch.setattr(services, "start_ray_process", stop_the_first_raylet)
    monkeypatch.setattr(ray_cluster, "STARTS", 15)  # the machine may be too busy for the next ones by itself
    with RayPool(ToyTrainer(seed=1), workers=1) as pool:
        results = list(pool.train([task], lambda *progress: None))

    assert len(results) == 1
    assert "attempt 1 of 15" in caplog.text
    assert not stopped[0].is_running()
