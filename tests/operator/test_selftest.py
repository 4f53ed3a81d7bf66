"""What `helm test` runs: it tells an operator that works from none, and leaves nothing behind."""

import asyncio

import pytest

from autolfads_operator import selftest
from autolfads_operator.kinds import RUNS
from autolfads_spec.run import AutoLFADSRun, cluster_problems
from fake_kubernetes import FakeKubernetes

OUTPUT = "gs://lab/none"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(selftest, "PAUSE_SECONDS", 0.001)


class Answered(FakeKubernetes):
    """With an operator that says this about every run."""

    def __init__(self, **condition):
        super().__init__()
        self.condition = condition

    async def get(self, kind, namespace, name):
        found = await super().get(kind, namespace, name)
        return found and {**found, "status": {"conditions": [{"type": "Accepted", **self.condition}]}}


def checked(kubernetes):
    return asyncio.run(selftest.check(kubernetes, "lab", "helm-test", OUTPUT, seconds=0.1))


def test_its_run_is_valid_and_starts_nothing():
    made = selftest.suspended_run("helm-test", OUTPUT)
    whole = AutoLFADSRun.model_validate(
        {"apiVersion": RUNS.api_version, "kind": RUNS.kind, **made}, by_alias=True
    )

    assert whole.spec.suspend
    assert cluster_problems(whole) == ()


def test_a_run_that_is_accepted_is_removed_again():
    kubernetes = Answered(status="True", message="the spec is valid")

    assert checked(kubernetes) == "the spec is valid"
    assert kubernetes.of(RUNS) == {}


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        pytest.param({"status": "False", "message": "spec.data: no"}, "refused: spec.data: no", id="refused"),
        pytest.param({"status": "Unknown"}, "no word of any operator", id="no operator"),
    ],
)
def test_a_run_that_is_not_accepted_is_told_and_removed(condition, told):
    kubernetes = Answered(**condition)

    with pytest.raises(selftest.NotAcceptedError, match=told):
        checked(kubernetes)
    assert kubernetes.of(RUNS) == {}
