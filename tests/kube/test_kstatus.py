"""kstatus of a run on a real API server, from the first moment on."""

import pytest

from kstatus import kstatus

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]


def test_a_run_is_in_progress_before_anybody_has_looked_at_it(run):
    assert kstatus(run.apply().read()) == "InProgress"


def test_kstatus_follows_a_run_to_its_pause_and_its_end(run, start, eventually):
    start()
    run.apply()
    eventually(run.is_started)
    assert kstatus(run.read()) == "InProgress"

    run.apply(suspend=True)
    eventually(lambda: run.condition("Suspended").get("status") == "True", seconds=60)
    assert run.status["observedGeneration"] == run.read()["metadata"]["generation"]
    assert kstatus(run.read()) == "Current"

    run.custom.patch_namespaced_custom_object(
        *run.where, run.name, {"metadata": {"finalizers": ["autolfads.dev/machines", "tests/hold"]}}
    )
    run.delete()
    eventually(lambda: kstatus(run.read()) == "Terminating")
    eventually(lambda: run.read()["metadata"]["finalizers"] == ["tests/hold"], seconds=60)
    run.custom.patch_namespaced_custom_object(*run.where, run.name, {"metadata": {"finalizers": []}})
    eventually(lambda: run.read() is None)
