"""Ray that needs longer to start than it gives itself."""

import contextlib
import threading
import time

import psutil
import pytest

from lfads_worker.errors import DeviceError
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.training.state import CohortTask

pytestmark = pytest.mark.ray


def test_a_ray_that_never_starts_in_time_is_a_sentence(monkeypatch):
    import ray

    from lfads_worker.execution.ray_pool import RayPool

    def time_out(**options):
        raise Exception("The current node timed out during startup. This could happen because")

    monkeypatch.setattr(ray, "init", time_out)

    with pytest.raises(DeviceError, match=r"3 times \(The current node timed out .* --workers 0"):
        RayPool(ToyTrainer(), workers=1)


def test_a_ray_that_does_not_start_in_time_is_ended_and_started_again(caplog):
    from lfads_worker.execution.ray_pool import RayPool

    this, stopped = psutil.Process(), []
    before = this.children()
    task = CohortTask(
        0, 0, 0, 10, (0,), None, ({"learning_rate": 0.1, "dropout_rate": 0.2, "l2_generator": 0.01},)
    )

    def stop_the_first_raylet():
        while not stopped:
            for child in set(this.children()).difference(before):
                with contextlib.suppress(psutil.Error):
                    if child.name() == "raylet":
                        child.suspend()
                        stopped.append(child)
            time.sleep(0.001)

    stopping = threading.Thread(target=stop_the_first_raylet)
    stopping.start()
    with RayPool(ToyTrainer(seed=1), workers=1) as pool:
        results = list(pool.train([task], lambda *progress: None))
    stopping.join()

    assert len(results) == 1
    assert "attempt 1 of 3" in caplog.text
    assert not stopped[0].is_running()
