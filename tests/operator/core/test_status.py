import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from autolfads_operator import conditions, status
from autolfads_operator.conditions import Told
from autolfads_spec.status import Condition, ConditionType, Phase, Reason, RunStatus

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def phase_of(is_deleted=False, **told):
    """The phase of conditions given as name=(status, reason)."""
    found = {ConditionType.ACCEPTED: Told("True", Reason.AS_EXPECTED)}
    found |= {ConditionType(name): Told(*value) for name, value in told.items()}
    return conditions.phase(conditions.written(found, RunStatus(), 1, NOW), is_deleted)


@pytest.mark.parametrize(
    ("told", "phase"),
    [
        pytest.param({}, Phase.PENDING, id="nothing known"),
        pytest.param({"Accepted": ("False", Reason.INVALID_SPEC)}, Phase.PENDING, id="rejected"),
        pytest.param({"Progressing": ("False", Reason.WAITING)}, Phase.PENDING, id="waits"),
        pytest.param({"Progressing": ("False", Reason.QUEUED)}, Phase.QUEUED, id="queued"),
        pytest.param({"Progressing": ("True", Reason.STARTING)}, Phase.STARTING, id="starting"),
        pytest.param({"Progressing": ("True", Reason.VALIDATING)}, Phase.VALIDATING, id="validating"),
        pytest.param({"Progressing": ("True", Reason.PROVISIONING)}, Phase.PROVISIONING, id="provisioning"),
        pytest.param({"Progressing": ("True", Reason.TRAINING)}, Phase.RUNNING, id="running"),
        pytest.param({"Progressing": ("True", Reason.FINALIZING)}, Phase.FINALIZING, id="finalizing"),
        pytest.param({"Progressing": ("False", Reason.HEAD_LOST)}, Phase.PENDING, id="between attempts"),
        pytest.param(
            {"Progressing": ("True", Reason.TRAINING), "Suspended": ("Unknown", Reason.PAUSED_BY_USER)},
            Phase.PAUSING,
            id="pausing",
        ),
        pytest.param({"Suspended": ("True", Reason.STOCKOUT)}, Phase.SUSPENDED, id="suspended"),
        pytest.param(
            {"Suspended": ("True", Reason.STOCKOUT), "Failed": ("True", Reason.BAD_INPUT)},
            Phase.FAILED,
            id="failed wins over suspended",
        ),
        pytest.param({"Complete": ("True", Reason.SUCCEEDED)}, Phase.SUCCEEDED, id="succeeded"),
    ],
)
def test_the_phase_follows_from_the_conditions(told, phase):
    assert phase_of(**told) is phase
    assert phase_of(is_deleted=True, **told) is Phase.DELETING


def test_a_condition_keeps_its_time_until_its_status_changes():
    def at(told, previous, hours):
        found = {ConditionType.SUSPENDED: told}
        written = conditions.written(found, previous, 1, NOW + timedelta(hours=hours))
        return RunStatus(conditions=written)

    first = at(Told("False", Reason.AS_EXPECTED), RunStatus(), 0)
    same = at(Told("False", Reason.WAITING, "another sentence"), first, 1)
    moved = at(Told("True", Reason.PAUSED_BY_USER), same, 2)

    times = [found.conditions[0].last_transition_time for found in (first, same, moved)]
    assert times == ["2030-01-01T12:00:00Z", "2030-01-01T12:00:00Z", "2030-01-01T14:00:00Z"]


def test_a_long_message_is_shortened_to_what_a_status_can_hold():
    told = {ConditionType.FAILED: Told("True", Reason.BAD_INPUT, "x" * 9000)}

    found = conditions.written(told, RunStatus(), 1, NOW)[0]

    assert len(found.message) == 1024
    assert isinstance(found, Condition)


def test_a_run_under_way_shows_what_people_ask_for(make_world, decide):
    world = make_world("Running", generations=50)
    world.folder.manifest = world.folder.manifest.model_copy(update={"generations_asked": 50})
    for _ in range(12):
        world.pass_time(60)
        world.driver_step()

    _, found = decide(world.observed())

    done = len(world.folder.manifest.generations)
    assert found.progress.summary == f"{done}/50"
    assert found.progress.percent == 2 * done
    assert found.progress.epoch == 80 + 25 * done  # 80 of ramps come first
    assert found.progress.workers_ready == "2/2"
    assert found.progress.eta_seconds == (50 - done) * 60
    assert found.best.metric == f"{1 / done:.6g}"
    assert found.best.checkpoint_uri is None
    assert found.attempts[0].generation == done - 1
    assert found.data_fingerprint == "f" * 64
    assert found.paths.manifest == "gs://lab/runs/reach/manifest.json"
    assert found.paths.rates is None
    assert found.start_time == "2030-01-01T00:00:00Z"
    assert found.completion_time is None


def test_a_complete_run_shows_where_everything_is(make_world):
    found = make_world("Succeeded").status

    assert found.paths.rates == "gs://lab/runs/reach/rates.h5"
    assert found.paths.report == "gs://lab/runs/reach/report/report.html"
    assert found.paths.tensorboard == "gs://lab/runs/reach/tensorboard"
    assert found.paths.logs == "gs://lab/runs/reach/training_logs"
    assert found.best.checkpoint_uri == "gs://lab/runs/reach/best/weights.npz"
    assert found.completion_time is not None
    assert found.progress.percent == 100
    assert found.progress.eta_seconds == 0


def test_progress_stays_while_the_folder_cannot_be_read(make_world, decide, told):
    world = make_world("Running", generations=9)
    world.driver_step()
    _, world.status = decide(world.observed())
    world.store_up = False

    _, found = decide(world.observed())

    assert found.progress.generation == world.status.progress.generation > 0
    assert found.best == world.status.best
    assert told(found, ConditionType.DATA_READY) == told(world.status, ConditionType.DATA_READY)
    assert told(found, ConditionType.STORAGE_WRITABLE) == ("False", Reason.STORAGE_UNAVAILABLE)


@pytest.mark.parametrize(
    ("phase", "reconciling", "stalled"),
    [
        ("Starting", "True", "False"),
        ("Running", "True", "False"),
        ("Succeeded", "False", "False"),
    ],
)
def test_tools_that_know_kstatus_see_whether_it_is_done(make_world, told, phase, reconciling, stalled):
    found = make_world(phase).status

    assert told(found, ConditionType.RECONCILING)[0] == reconciling
    assert told(found, ConditionType.STALLED)[0] == stalled


def test_all_conditions_are_there_once_and_in_order(make_world):
    found = make_world("Running").status

    assert [condition.type for condition in found.conditions] == list(ConditionType)


def test_a_new_heartbeat_alone_is_not_worth_writing(make_world, decide):
    world = make_world("Running", generations=9)
    world.machines = False
    _, world.status = decide(world.observed())
    world.pass_time(30)
    world.driver_step()
    _, found = decide(world.observed())

    assert found.progress.updated_at != world.status.progress.updated_at
    assert not status.is_worth_writing(world.status, found)
    world.machines = True
    world.driver_step()
    _, found = decide(world.observed())
    assert status.is_worth_writing(world.status, found)


def test_the_end_of_an_attempt_must_not_wait_to_be_written(make_world, decide):
    world = make_world("Running")
    later = dataclasses.replace(world.observed(), now=world.now + timedelta(seconds=700))

    _, found = decide(later)

    assert status.is_urgent(world.status, found)
    assert not status.is_urgent(found, found)


def test_only_the_last_ten_attempts_are_kept(make_world, decide):
    world = make_world("Running")
    entry = world.status.attempts[0]
    update = {"end_reason": Reason.HEAD_LOST, "end_time": "2030-01-01T00:00:00Z"}
    known = tuple(entry.model_copy(update={"number": n, **update}) for n in range(1, 11))
    world.status = world.status.model_copy(update={"attempts": known})
    job = next(iter(world.jobs.values()))
    job.attempt = 11
    world.folder.lease = world.folder.lease.model_copy(update={"attempt": 11})

    _, found = decide(world.observed())

    assert [attempt.number for attempt in found.attempts] == list(range(2, 12))
