import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from autolfads_operator import endings
from autolfads_operator.endings import Outcome
from autolfads_operator.observed import Pod, PodRole
from autolfads_operator.situation import Situation
from autolfads_spec.attempt import AttemptEnd, EndClass
from autolfads_spec.status import Condition, ConditionType, Reason


@pytest.fixture
def ended(make_world):
    """The present attempt of a running world, after its RayJob became this; None: it is gone."""

    def make(end_class=None, pods=(), has_results=False, job=True, **update):
        world = make_world("Running")
        observed = world.observed()
        jobs = (dataclasses.replace(observed.ray_jobs[0], **update),) if job else ()
        ends = {}
        if end_class is not None:
            epoch = observed.folder.lease.driver_epoch
            ends[1] = AttemptEnd(
                attempt=1, driver_epoch=epoch, end_class=end_class, message="told", generation=0, ended_at=""
            )
        folder = dataclasses.replace(observed.folder, ends=ends, has_results=has_results)
        observed = dataclasses.replace(observed, ray_jobs=jobs, folder=folder, pods=pods)
        return Situation(observed, world.run, world.terms)

    return make


EARLIER = datetime(2029, 12, 31, tzinfo=UTC)
NO_HEAD = {
    "reason": "PreRunningDeadlineExceeded",
    "created": EARLIER - timedelta(hours=2),  # it was queued
    "started": EARLIER,
    "ended": EARLIER + timedelta(minutes=45),
}
FAILED = {"deployment_status": "Failed", "job_status": "FAILED"}


@pytest.mark.parametrize("end_class", EndClass)
def test_every_end_class_leads_somewhere_and_retries_are_those_of_the_contract(ended, end_class):
    found = endings.ended_by_itself(ended(end_class, reason="AppFailed", **FAILED))

    assert found is not None
    assert (found.outcome in (Outcome.RETRY, Outcome.DENIED)) == end_class.is_worth_another_attempt


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        pytest.param({**FAILED, "reason": "AppFailed"}, Reason.DRIVER_FAILED, id="died without a word"),
        pytest.param(
            {**FAILED, "reason": "JobStatusCheckTimeoutExceeded"}, Reason.HEAD_LOST, id="head does not answer"
        ),
        pytest.param({**FAILED, "reason": "DeadlineExceeded"}, Reason.DEADLINE_RAISED, id="raised deadline"),
        pytest.param(
            {**FAILED, "reason": "DeadlineExceeded", "end_class": EndClass.INTERRUPTED},
            Reason.DEADLINE_RAISED,
            id="raised deadline, it noticed",
        ),
        pytest.param({**FAILED, **NO_HEAD}, Reason.STOCKOUT, id="no head came"),
        pytest.param(
            {**FAILED, **NO_HEAD, "started": EARLIER + timedelta(minutes=20)},
            Reason.DEADLINE_RAISED,
            id="more time for the head",
        ),
        pytest.param(
            {"deployment_status": "ValidationFailed", "reason": "ValidationFailed"},
            Reason.INVALID_SPEC,
            id="KubeRay refuses",
        ),
        pytest.param(
            {"deployment_status": "Complete", "job_status": "SUCCEEDED", "has_results": True},
            Reason.SUCCEEDED,
            id="finished without a word",
        ),
        pytest.param(
            {"deployment_status": "Complete", "job_status": "SUCCEEDED"},
            Reason.DRIVER_FAILED,
            id="no results",
        ),
        pytest.param({"job": False}, Reason.RAYJOB_DELETED, id="deleted by hand"),
        pytest.param(
            {"job": False, "end_class": EndClass.INTERRUPTED}, Reason.RAYJOB_DELETED, id="deleted, it noticed"
        ),
        pytest.param({"job": False, "end_class": EndClass.OK}, Reason.SUCCEEDED, id="deleted after success"),
    ],
)
def test_without_the_drivers_word_kuberay_tells(ended, update, reason):
    assert endings.ended_by_itself(ended(**update)).reason is reason


def test_kuberays_deadline_ends_the_run_once_its_own_has_passed(ended):
    situation = ended(reason="DeadlineExceeded", **FAILED)
    late = dataclasses.replace(situation.observed, now=situation.now + timedelta(hours=25))

    found = endings.ended_by_itself(dataclasses.replace(situation, observed=late))

    assert (found.reason, found.outcome) == (Reason.DEADLINE_EXCEEDED, Outcome.FATAL)


def test_a_killed_head_is_told_from_a_failed_driver_and_the_field_is_named(ended):
    head = Pod("h", PodRole.HEAD, 1, "Failed", reason="OOMKilled", exit_code=137)

    found = endings.ended_by_itself(ended(pods=(head,), reason="AppFailed", **FAILED))

    assert found.reason is Reason.HEAD_OUT_OF_MEMORY
    assert "spec.compute.head.memory" in found.message
    assert "8Gi" in found.message


def test_a_driver_that_ended_while_the_store_was_away_is_no_failed_driver(ended):
    situation = ended(reason="AppFailed", **FAILED)
    away = Condition(
        type=ConditionType.STORAGE_WRITABLE,
        status="False",
        reason=Reason.STORAGE_UNAVAILABLE,
        message="no answer",
        last_transition_time="2030-01-01T00:00:00Z",
    )
    resource = situation.resource
    told = resource.status.model_copy(update={"conditions": (away,)})
    observed = dataclasses.replace(
        situation.observed, custom_resource=dataclasses.replace(resource, status=told)
    )

    found = endings.ended_by_itself(dataclasses.replace(situation, observed=observed))

    assert (found.reason, found.outcome) == (Reason.STORAGE_UNAVAILABLE, Outcome.RETRY)
    assert situation.spec.output.uri in found.message


REFUSED = (
    "Job entrypoint command failed with exit code 7, last available logs (truncated to 20,000 chars):\n"
    '{"level": "ERROR", "message": "the operator could not be told: output: wanted to read '
    "gs://lab/runs/reach/lease.json, found that trainer@lab.iam.gserviceaccount.com may not "
    '(storage.objects.get); give it the role roles/storage.objectUser on gs://lab"}\n'
)


@pytest.mark.parametrize(
    ("message", "who"),
    [
        pytest.param(REFUSED, "trainer@lab.iam.gserviceaccount.com may not (storage.objects.get)", id="logs"),
        pytest.param(
            "Job entrypoint command failed with exit code 7. No logs available.",
            "Cloud Storage does not let them",
            id="no logs",
        ),
    ],
)
def test_a_driver_that_may_not_write_its_folder_is_told_by_its_exit_code_with_the_role(ended, message, who):
    found = endings.ended_by_itself(ended(reason="AppFailed", message=message, **FAILED))

    assert (found.reason, found.outcome) == (Reason.STORAGE_DENIED, Outcome.DENIED)
    assert who in found.message
    assert "the role roles/storage.objectUser on gs://lab;" in found.message
    assert "service account default of namespace lab" in found.message


def test_an_exit_code_in_the_log_of_another_end_is_none(ended):
    message = "Job entrypoint command failed with exit code 1, last logs:\nfailed with exit code 7\n"

    assert endings.ended_by_itself(ended(reason="AppFailed", message=message, **FAILED)).reason is (
        Reason.DRIVER_FAILED
    )


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(
            "Job entrypoint command failed with exit code -9, last available logs: 19 lines", id="-9"
        ),
        pytest.param("Job entrypoint command failed with exit code 137. No logs available.", id="137"),
        pytest.param("1 worker(s) were killed due to the node running low on memory.\n", id="by Ray"),
    ],
)
def test_a_driver_that_was_killed_for_memory_in_a_head_that_lives_ran_out_of_it_too(ended, said):
    found = endings.ended_by_itself(ended(reason="AppFailed", message=said, **FAILED))

    assert found.reason is Reason.HEAD_OUT_OF_MEMORY
    assert "raise spec.compute.head.memory" in found.message


def test_a_process_of_rays_that_died_in_a_head_that_lives_is_no_failure_of_the_driver(ended):
    message = (
        "Job supervisor actor died: The actor died unexpectedly before finishing this task.\n\tclass_name"
    )

    found = endings.ended_by_itself(ended(reason="AppFailed", message=message, **FAILED))

    assert found.reason is Reason.HEAD_LOST
    assert "The actor died unexpectedly" in found.message


@pytest.mark.parametrize(
    ("pod", "reason", "part"),
    [
        pytest.param(
            Pod("h", PodRole.HEAD, 1, "Pending", reason="ImagePullBackOff", message="no such image"),
            Reason.IMAGE_PULL,
            "no such image",
            id="image",
        ),
        pytest.param(
            Pod("h", PodRole.HEAD, 1, "Pending", unschedulable="0/3 nodes are available"),
            Reason.STOCKOUT,
            "0/3 nodes",
            id="no node",
        ),
    ],
)
def test_missing_machines_are_explained_by_the_pods(ended, pod, reason, part):
    found = endings.ended_by_itself(ended(pods=(pod,), **NO_HEAD, **FAILED))

    assert found.reason is reason
    assert part in found.message
    assert "45m" in found.message


def test_an_attempt_under_way_has_not_ended(ended):
    assert endings.ended_by_itself(ended()) is None


def test_the_words_of_an_earlier_driver_of_the_attempt_do_not_count(ended):
    situation = ended(EndClass.INTERRUPTED, reason="AppFailed", **FAILED)
    folder = situation.observed.folder
    later = folder.lease.model_copy(update={"driver_epoch": folder.lease.driver_epoch + 1})
    observed = dataclasses.replace(situation.observed, folder=dataclasses.replace(folder, lease=later))

    found = endings.ended_by_itself(dataclasses.replace(situation, observed=observed))

    assert found.reason is Reason.DRIVER_FAILED


def test_nothing_is_decided_while_the_output_folder_cannot_be_read(ended, simulator):
    situation = ended(reason="AppFailed", **FAILED)
    unreadable = simulator.OutputFolder(problem=simulator.FolderProblem.UNAVAILABLE)
    observed = dataclasses.replace(
        situation.observed, folder=unreadable, now=situation.now + timedelta(hours=9)
    )

    assert endings.ended_by_itself(dataclasses.replace(situation, observed=observed)) is None
