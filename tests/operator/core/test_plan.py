"""What is done in each situation, one by one; `test_converges` shows that it all fits together."""

import dataclasses
from datetime import timedelta

import pytest

from autolfads_operator.actions import (
    AddFinalizer,
    ApplyConfigMap,
    ApplyRayJob,
    DeleteRayJob,
    RemoveRun,
    ScaleWorkers,
    WriteLease,
    WriteWish,
)
from autolfads_operator.observed import KubeRay, Rival
from autolfads_spec.attempt import AttemptEnd
from autolfads_spec.manifest import Lease, Manifest
from autolfads_spec.status import ConditionType, Phase, Reason, RunStatus


def kinds(doings):
    return [type(action) for action in doings]


def later(observed, seconds):
    return dataclasses.replace(observed, now=observed.now + timedelta(seconds=seconds))


# Starting.


def test_a_new_run_gets_its_finalizer_then_the_lease_then_its_objects(make_world, decide, told):
    doings, status = decide(make_world().observed())

    assert kinds(doings) == [AddFinalizer, WriteLease, ApplyConfigMap, ApplyRayJob]
    assert doings[1].lease == Lease(attempt=1, driver_epoch=0, owner="run-uid")
    assert doings[1].expected is None
    assert told(status, ConditionType.ACCEPTED) == ("True", Reason.AS_EXPECTED)
    assert status.phase is Phase.STARTING


def test_an_operator_that_died_after_the_lease_goes_on_with_the_same_number(make_world, decide):
    world = make_world()
    for action in decide(world.observed())[0][:2]:
        world.carry_out(action)

    doings, _ = decide(world.observed())

    assert kinds(doings) == [WriteLease, ApplyConfigMap, ApplyRayJob]
    assert doings[0].lease == world.folder.lease
    assert doings[0].expected == "1"  # whoever has looked before finds the lease changed
    assert doings[2].attempt == 1


def test_an_operator_that_died_after_the_rayjob_adopts_it(make_world, decide):
    world = make_world()
    for action in decide(world.observed())[0]:
        world.carry_out(action)

    doings, status = decide(world.observed())

    assert doings == []
    assert status.attempts[0].ray_job == "reach-a01"


def test_a_run_yaml_whose_ray_job_was_refused_serves_no_later_spec(make_world, decide, simulator):
    world = make_world()
    for action in decide(world.observed())[0][:-1]:  # and the RayJob was refused, by a quota perhaps
        world.carry_out(action)
    same, _ = decide(world.observed())
    assert kinds(same) == [WriteLease, ApplyRayJob]
    assert same[-1].attempt == 1

    world.change(population=world.run.spec.population.model_copy(update={"seed": 7}))
    simulator.Operator(world).turn()

    assert list(world.config_maps) == ["reach-a01", "reach-a02"]
    assert "seed: 7" in world.config_maps["reach-a02"]["data"]["run.yaml"]
    assert [job.attempt for job in world.jobs.values()] == [2]
    assert world.status.spec_hash == world.observed().config_maps["reach-a02"]


def test_a_run_recreated_in_the_same_folder_counts_on(make_world, decide):
    world = make_world("Succeeded")
    old = world.folder.lease.model_copy(update={"owner": "uid-before"})
    world.folder.lease = old
    world.jobs.clear()
    world.status = RunStatus()

    doings, _ = decide(world.observed())

    lease = next(action for action in doings if isinstance(action, WriteLease))
    assert lease.lease.attempt == 2
    assert lease.lease.driver_epoch == old.driver_epoch
    assert doings[-1].manifest["metadata"]["name"] == "reach-a02"


def test_policy_never_refuses_a_folder_with_a_run_but_not_our_own(make_world, decide, told):
    world = make_world("Running", resume={"policy": "Never"})
    world.delete_job_by_hand()
    world.kuberay_step()
    doings, status = decide(world.observed())
    assert status.phase is not Phase.FAILED

    foreign = make_world("Running", resume={"policy": "Never"})
    foreign.folder.lease = foreign.folder.lease.model_copy(update={"owner": ""})
    foreign.jobs.clear()
    foreign.status = RunStatus()
    doings, status = decide(foreign.observed())

    assert doings == []
    assert told(status, ConditionType.FAILED) == ("True", Reason.OUTPUT_TAKEN)
    assert "resume.policy" in status.message


@pytest.mark.parametrize(
    ("blocks", "update", "kind", "reason"),
    [
        pytest.param(
            {}, {"kuberay": KubeRay.MISSING}, "KubeRayCompatible", Reason.KUBERAY_MISSING, id="no KubeRay"
        ),
        pytest.param(
            {},
            {"kuberay": KubeRay.UNUSABLE},
            "KubeRayCompatible",
            Reason.KUBERAY_TOO_OLD,
            id="KubeRay that cannot start it",
        ),
        pytest.param(
            {"schedule": {"startAfter": "2031-01-01T00:00:00Z"}},
            {},
            "Progressing",
            Reason.WAITING,
            id="not yet",
        ),
    ],
)
def test_nothing_starts_before_its_time(make_world, decide, told, blocks, update, kind, reason):
    observed = dataclasses.replace(make_world(**blocks).observed(), **update)

    doings, status = decide(observed)

    assert kinds(doings) == [AddFinalizer]
    assert status.phase is Phase.PENDING
    assert told(status, kind) == ("False", reason)


def test_a_run_wakes_up_when_it_may_start(make_world, terms):
    from autolfads_operator.plan import plan

    observed = make_world(schedule={"startAfter": "2030-01-01T00:01:00Z"}).observed()

    assert plan(observed, terms).wake_after_seconds == 60
    assert any(isinstance(a, ApplyRayJob) for a in plan(later(observed, 61), terms).actions)


def test_an_old_kuberay_is_told_and_used(make_world, decide, told):
    observed = dataclasses.replace(make_world().observed(), kuberay=KubeRay.TOO_OLD)

    doings, status = decide(observed)

    assert ApplyRayJob in kinds(doings)
    assert told(status, ConditionType.KUBERAY_COMPATIBLE) == ("False", Reason.KUBERAY_TOO_OLD)
    assert "KubeRay" not in status.message  # what becomes of the run is what people want to read


def test_a_folder_that_cannot_be_read_holds_the_run_and_says_why(make_world, decide, told, simulator):
    world = make_world()
    folder = simulator.OutputFolder(problem=simulator.FolderProblem.DENIED, message="give the role")

    doings, status = decide(dataclasses.replace(world.observed(), folder=folder))

    assert kinds(doings) == [AddFinalizer]
    assert told(status, ConditionType.STORAGE_WRITABLE) == ("False", Reason.STORAGE_DENIED)
    assert status.message == "give the role"


# What cannot be carried out.


def test_a_folder_that_may_not_be_written_holds_the_run_and_is_tried_again(make_world, decide, told):
    world = make_world()
    folder = dataclasses.replace(world.observed().folder, denied="give it the role X", is_due=False)
    doings, status = decide(dataclasses.replace(world.observed(), folder=folder))

    assert kinds(doings) == [AddFinalizer]
    assert told(status, ConditionType.STORAGE_WRITABLE) == ("False", Reason.STORAGE_DENIED)
    assert told(status, ConditionType.PROGRESSING) == ("False", Reason.STORAGE_DENIED)
    assert "give it the role X" in status.message
    assert (status.phase, status.attempt) == (Phase.PENDING, None)

    due = dataclasses.replace(folder, is_due=True)
    doings, status = decide(dataclasses.replace(world.observed(), folder=due))
    assert WriteLease in kinds(doings)
    assert told(status, ConditionType.STORAGE_WRITABLE) == ("False", Reason.STORAGE_DENIED)


def test_a_run_that_trains_goes_on_where_the_operator_may_not_write_and_still_pauses(
    make_world, decide, told
):
    world = make_world("Running")
    world.change(suspend=True)
    folder = dataclasses.replace(world.observed().folder, denied="give it the role X", is_due=False)
    observed = dataclasses.replace(world.observed(), folder=folder)
    doings, status = decide(observed)

    assert doings == []
    assert told(status, ConditionType.STORAGE_WRITABLE) == ("False", Reason.STORAGE_DENIED)
    assert status.phase is Phase.PAUSING
    resource = dataclasses.replace(observed.custom_resource, status=status)
    patience = max(world.terms.pause_wait_seconds, 130)
    _, status = decide(later(dataclasses.replace(observed, custom_resource=resource), patience + 1))
    assert status.attempts[-1].end_reason is Reason.PAUSED_BY_USER


def held_by(world, owner, heartbeat_age=None, ends=False):
    """What is seen of a folder whose lease is somebody else's."""
    observed = world.observed()
    manifest = observed.folder.manifest
    if heartbeat_age is not None:
        heard = observed.now - timedelta(seconds=heartbeat_age)
        manifest = Manifest(
            **{"run": "theirs", "fingerprint": "f", "cohorts": ((0,),), "generations_asked": 3},
            **{"attempt": 4, "driver_epoch": 6, "driver": "there:1", "versions": {}},
            heartbeat=heard.isoformat(),
        )
    word = AttemptEnd(attempt=4, driver_epoch=6, end_class="paused", message="", generation=0, ended_at="")
    folder = dataclasses.replace(
        observed.folder,
        lease=Lease(attempt=4, driver_epoch=6, owner=owner),
        lease_version="7",
        manifest=manifest,
        ends={4: word} if ends else {},
    )
    return dataclasses.replace(observed, folder=folder)


def test_a_run_waits_while_another_is_at_work_in_its_folder_and_names_it(make_world, decide, told):
    observed = held_by(make_world(), "other-uid")
    there = dataclasses.replace(observed, rival=Rival("run lab/other", is_at_work=True))
    doings, status = decide(there)

    assert kinds(doings) == [AddFinalizer]
    assert told(status, ConditionType.PROGRESSING) == ("False", Reason.OUTPUT_TAKEN)
    assert "run lab/other" in status.message
    assert (status.phase, status.attempt, status.cost) == (Phase.PENDING, None, None)

    over = dataclasses.replace(observed, rival=Rival("run lab/other", is_at_work=False))
    doings, _ = decide(over)
    assert doings[1].lease == Lease(attempt=5, driver_epoch=6, owner="run-uid")


@pytest.mark.parametrize(
    ("age", "ends", "begins"),
    [
        pytest.param(40, False, False, id="alive"),
        pytest.param(40, True, True, id="has said its last word"),
        pytest.param(400, False, True, id="silent"),
    ],
)
@pytest.mark.parametrize("owner", ["", "uid-of-another-cluster"])
def test_a_driver_from_elsewhere_is_waited_for_as_long_as_it_is_alive(
    make_world, decide, age, ends, begins, owner
):
    doings, status = decide(held_by(make_world(), owner, age, ends))

    assert (WriteLease in kinds(doings)) == begins
    assert ("a driver of run theirs" in status.message) != begins


@pytest.mark.parametrize(
    ("blocks", "part"),
    [
        ({"compute": {"nodePool": {"mode": "Dedicated"}}}, "spec.compute.nodePool.mode: wanted Existing"),
        ({"resume": {"from": "gs://lab/runs/other"}}, "spec.resume.from: wanted no other run"),
        ({"data": {"uri": "reach.h5"}}, "spec.data.uri"),
        ({"compute": {"accelerator": None}}, "spec.compute.accelerator"),
    ],
    ids=["node pool", "warm start", "data on a laptop", "no accelerator"],
)
def test_what_cannot_be_carried_out_is_said_and_nothing_is_made(make_world, decide, told, blocks, part):
    doings, status = decide(make_world(**blocks).observed())

    assert doings == []
    assert told(status, ConditionType.ACCEPTED) == ("False", Reason.INVALID_SPEC)
    assert told(status, ConditionType.STALLED) == ("True", Reason.INVALID_SPEC)
    assert part in status.message
    assert status.phase is Phase.PENDING


def test_a_spec_that_does_not_parse_is_said_with_every_sentence(make_world, decide):
    observed = make_world().observed()
    resource = dataclasses.replace(
        observed.custom_resource, run=None, problems=("spec.a: wrong", "spec.b: too")
    )

    doings, status = decide(dataclasses.replace(observed, custom_resource=resource, folder=None))

    assert doings == []
    assert status.message == "spec.a: wrong; spec.b: too"


def test_a_valid_run_leaves_a_rejection_behind(make_world, decide, told):
    world = make_world(compute={"nodePool": {"mode": "Auto"}})
    _, world.status = decide(world.observed())
    world.change(compute=world.run.spec.compute.model_copy(update={"node_pool": None}))

    _, status = decide(world.observed())

    assert told(status, ConditionType.ACCEPTED)[0] == "True"
    assert told(status, ConditionType.STALLED)[0] == "False"


# Under way.


def test_workers_are_asked_for_once_the_recording_is_checked(make_world, decide, told):
    world = make_world("Validating")
    doings, status = decide(world.observed())
    assert doings == []
    assert told(status, ConditionType.DATA_READY)[0] == "Unknown"

    world.driver_step()
    doings, status = decide(world.observed())

    assert doings == [ScaleWorkers("reach-a01-x", "workers", 2)]
    assert told(status, ConditionType.DATA_READY)[0] == "True"
    assert status.phase is Phase.PROVISIONING


def test_a_cluster_that_kubery_made_anew_gets_its_workers_again(make_world, decide):
    world = make_world("Running")
    world.lose_cluster()

    assert decide(world.observed())[0] == [ScaleWorkers("reach-a01-x", "workers", 2)]


def test_an_attempt_that_only_has_results_left_to_write_gets_workers_too(make_world, decide):
    world = make_world("Validating")
    world.driver_step()
    world._write(stop_reason="all generations are trained")

    doings, status = decide(world.observed())

    assert doings == [ScaleWorkers("reach-a01-x", "workers", 2)]
    assert status.phase is Phase.FINALIZING


def test_the_number_of_workers_follows_the_spec_while_it_runs(make_world, decide):
    world = make_world("Running")
    workers = world.run.spec.compute.workers.model_copy(update={"desired": 4})
    world.change(compute=world.run.spec.compute.model_copy(update={"workers": workers}))

    assert decide(world.observed())[0] == [ScaleWorkers("reach-a01-x", "workers", 4)]


@pytest.mark.parametrize(
    ("cohorts", "per_worker", "wanted"),
    [
        pytest.param(2, 1, 2, id="fewer cohorts than workers"),
        pytest.param(3, 2, 2, id="two accelerators a worker"),
        pytest.param(9, 1, 4, id="more cohorts than workers"),
    ],
)
def test_no_worker_is_asked_for_that_would_have_no_cohort(
    make_world, decide, told, cohorts, per_worker, wanted
):
    accelerator = {"type": "nvidia-l4", "countPerWorker": per_worker}
    compute = {"accelerator": accelerator, "workers": {"desired": 4, "min": 4}}
    world = make_world("Validating", population={"size": 9}, compute=compute)
    world.driver_step()
    world._write(cohorts=tuple((member,) for member in range(cohorts)))

    doings, _ = decide(world.observed())
    assert doings == [ScaleWorkers("reach-a01-x", "workers", wanted)]

    world.carry_out(doings[0])
    doings, status = decide(world.observed())
    assert doings == []
    assert status.progress.workers_ready == f"{wanted}/{wanted}"
    assert told(status, ConditionType.CLUSTER_READY)[0] == "True"  # and not for ever short of workers.min
    ready = next(c.message for c in status.conditions if c.type == ConditionType.CLUSTER_READY)
    assert ("there are cohorts for no more" in ready) == (wanted < 4)


def test_a_run_starts_with_the_least_workers_and_then_goes_on_with_any(make_world, decide, told):
    world = make_world("Provisioning", compute={"workers": {"desired": 4, "min": 2}})
    observed = world.observed()
    pods = [pod for pod in observed.pods if pod.role == "worker"]
    rest = tuple(pod for pod in observed.pods if pod.role == "head")

    def with_ready(count):
        some = tuple(dataclasses.replace(pod, is_ready=index < count) for index, pod in enumerate(pods))
        return dataclasses.replace(observed, pods=rest + some)

    assert told(decide(with_ready(1))[1], ConditionType.CLUSTER_READY) == ("False", Reason.PROVISIONING)
    _, status = decide(with_ready(2))
    assert told(status, ConditionType.CLUSTER_READY)[0] == "True"
    assert status.progress.workers_ready == "2/4"
    resource = dataclasses.replace(observed.custom_resource, status=status)
    fewer = dataclasses.replace(with_ready(1), custom_resource=resource)
    assert told(decide(fewer)[1], ConditionType.CLUSTER_READY)[0] == "True"


# Attempts that end.


def test_why_an_attempt_ended_is_written_down_before_anything_is_done(make_world, decide):
    world = make_world("Running")
    observed = later(world.observed(), 700)

    doings, world.status = decide(observed)
    assert doings == []
    assert world.status.attempts[0].end_reason is Reason.DRIVER_STALLED
    assert world.status.failed_attempts == 1

    doings, _ = decide(dataclasses.replace(world.observed(), now=observed.now))
    assert kinds(doings) == [DeleteRayJob]


def test_the_next_attempt_waits_until_the_rayjob_before_is_gone(make_world, decide, simulator):
    world = make_world("Running")
    world.pass_time(700)
    operator = simulator.Operator(world)
    operator.turn()
    operator.turn()

    assert world.jobs["reach-a01"].deleted_at is not None
    assert decide(world.observed())[0] == []

    world.kuberay_step()
    doings, _ = decide(world.observed())
    assert kinds(doings) == [WriteLease, ApplyConfigMap, ApplyRayJob]
    assert doings[-1].attempt == 2


def test_attempts_that_get_nowhere_wait_longer_each_time(make_world, simulator, terms):
    from autolfads_operator.plan import plan

    world = make_world("Validating", retry={"maxAttempts": 20})
    operator = simulator.Operator(world)
    pauses = []
    for _ in range(7):
        world.kill_driver()
        for _ in range(4):
            world.kuberay_step()
            operator.turn()
        found = plan(world.observed(), terms)
        starts = any(isinstance(action, ApplyRayJob) for action in found.actions)
        pauses.append(0 if starts or world.jobs else round(found.wake_after_seconds))
        world.pass_time(pauses[-1])
        while not any(job.driver for job in world.jobs.values()):
            operator.turn()
            world.kuberay_step()

    assert pauses == [0, 10, 20, 40, 80, 160, 300]


@pytest.mark.parametrize("allowed", [20, 4])
@pytest.mark.parametrize(
    "earlier",
    [
        pytest.param([Reason.HEAD_OUT_OF_MEMORY] * 2, id="in a row"),
        pytest.param([Reason.HEAD_OUT_OF_MEMORY, Reason.HEAD_LOST, Reason.HEAD_OUT_OF_MEMORY], id="one lost"),
    ],
)
def test_a_head_that_runs_out_of_memory_three_times_is_not_tried_again(
    make_world, decide, told, earlier, allowed
):
    world = make_world("Running", retry={"maxAttempts": allowed})
    entry, newest = world.status.attempts[0], len(earlier) + 1
    ends = [
        entry.model_copy(update={"number": number, "end_reason": reason, "end_time": "x"})
        for number, reason in enumerate(earlier, 1)
    ]
    world.status = world.status.model_copy(
        update={"attempts": (*ends, entry.model_copy(update={"number": newest}))}
    )
    job = next(iter(world.jobs.values()))
    job.attempt, job.deployment_status, job.reason = newest, "Failed", "AppFailed"
    world.folder.lease = world.folder.lease.model_copy(update={"attempt": newest})
    observed = world.observed()
    pods = tuple(dataclasses.replace(pod, reason="OOMKilled") for pod in observed.pods if pod.role == "head")

    _, status = decide(dataclasses.replace(observed, pods=pods))

    assert told(status, ConditionType.FAILED) == ("True", Reason.HEAD_OUT_OF_MEMORY)
    assert "spec.compute.head.memory" in status.message


def test_a_rayjob_of_an_earlier_attempt_is_taken_away(make_world, decide, simulator):
    world = make_world("Running")
    world.jobs["reach-a00"] = simulator.Job("reach-a00", "old", 0, world.now)

    doings, _ = decide(world.observed())

    assert [(action.name, action.uid) for action in doings] == [("reach-a00", "old")]


# Pausing.


def test_a_pause_is_asked_for_once_and_waited_for(make_world, decide, told):
    world = make_world("Running")
    world.change(suspend=True)
    doings, world.status = decide(world.observed())
    assert kinds(doings) == [WriteWish]
    assert (doings[0].wish.attempt, doings[0].wish.pause) == (1, True)
    assert world.status.phase is Phase.PAUSING

    world.carry_out(doings[0])
    assert decide(world.observed())[0] == []
    _, status = decide(later(world.observed(), 1900))
    assert status.attempts[0].end_reason is Reason.PAUSED_BY_USER


def test_a_change_of_mind_withdraws_the_wish(make_world, decide, simulator):
    world = make_world("Running")
    world.change(suspend=True)
    simulator.Operator(world).turn()
    world.change(suspend=False)

    doings, status = decide(world.observed())

    assert kinds(doings) == [WriteWish]
    assert doings[0].wish.pause is False
    assert status.phase is not Phase.PAUSING


def test_a_run_that_was_suspended_says_that_it_goes_on_before_it_does(make_world, decide, simulator):
    """Others take the folder of a suspended run."""
    world = make_world("Running")
    world.change(suspend=True)
    simulator.settle(world, simulator.Operator(world))
    assert world.status.phase is Phase.SUSPENDED
    world.change(suspend=False)

    doings, world.status = decide(world.observed())
    assert doings == []
    assert world.status.phase is Phase.STARTING

    assert kinds(decide(world.observed())[0]) == [WriteLease, ApplyConfigMap, ApplyRayJob]


def test_pauses_do_not_count_for_the_deadline(make_world, simulator):
    world = make_world("Running", schedule={"deadline": "2h"})
    operator = simulator.Operator(world)
    world.change(suspend=True)
    simulator.settle(world, operator)
    world.pass_time(100_000)
    world.change(suspend=False)
    simulator.settle(world, operator)

    assert world.status.phase is Phase.SUCCEEDED
    assert world.status.paused_seconds >= 100_000


def test_a_pause_before_the_first_attempt_does_not_move_the_deadline(make_world, simulator):
    world = make_world(suspend=True, schedule={"deadline": "2h"})
    operator = simulator.Operator(world)
    operator.turn()
    world.pass_time(100_000)
    world.change(suspend=False)
    simulator.settle(world, operator)

    assert world.status.phase is Phase.SUCCEEDED
    assert not world.status.paused_seconds


def test_a_run_past_its_deadline_commits_its_generation_and_fails(make_world, simulator, told):
    world = make_world("Running", generations=1000, schedule={"deadline": "1h"})
    operator = simulator.Operator(world)
    for _ in range(110):
        world.pass_time(30)
        world.driver_step()
        world.kuberay_step()
        operator.turn()
    committed = len(world.folder.manifest.generations)
    simulator.settle(world, operator)

    assert told(world.status, ConditionType.FAILED) == ("True", Reason.DEADLINE_EXCEEDED)
    assert len(world.folder.manifest.generations) >= committed
    assert world.folder.ends[1].end_class == "paused"
    assert not any(simulator.is_live(job) for job in world.jobs.values())


def scheduled(world, **update):
    world.change(schedule=world.run.spec.schedule.model_copy(update=update))


def pass_hours(world, operator, hours):
    for _ in range(round(hours * 120)):
        world.pass_time(30)
        world.driver_step()
        world.kuberay_step()
        operator.turn()


def test_a_deadline_that_is_raised_while_training_lets_the_run_go_on(make_world, simulator):
    world = make_world("Running", generations=1000, schedule={"deadline": "1h"})
    operator = simulator.Operator(world)
    scheduled(world, deadline="5h")
    pass_hours(world, operator, 3)

    assert [entry.end_reason for entry in world.status.attempts] == [Reason.DEADLINE_RAISED, None]
    assert world.status.failed_attempts == 0
    pass_hours(world, operator, 3)
    assert world.status.phase is Phase.FAILED
    assert "wanted the run to end within 5h" in world.status.message


def test_kuberays_deadline_leaves_the_driver_the_time_that_ours_gives_it(make_world, decide):
    world = make_world(schedule={"deadline": "2h"})
    deadline = decide(world.observed())[0][-1].manifest["spec"]["activeDeadlineSeconds"]

    assert deadline >= 7200 + world.terms.pause_wait_seconds + 300


def test_more_time_for_machines_that_the_head_waits_for_is_given(make_world, simulator):
    world = make_world()
    world.machines = False
    operator = simulator.Operator(world)
    operator.turn()
    scheduled(world, provisioning_timeout="2h")
    pass_hours(world, operator, 1)

    assert [entry.end_reason for entry in world.status.attempts] == [Reason.DEADLINE_RAISED, None]
    assert world.status.phase is Phase.STARTING
    pass_hours(world, operator, 2)
    assert world.status.phase is Phase.SUSPENDED
    assert "wanted machines within 2h" in world.status.message


def test_machines_that_never_come_pause_the_run_until_the_user_changes_something(make_world, simulator, told):
    world = make_world("Provisioning")
    operator = simulator.Operator(world)
    world.machines = False
    for _ in range(100):
        operator.turn()
        world.kuberay_step()
        world.driver_step()
        world.pass_time(30)
    assert world.status.phase is Phase.PENDING or world.status.phase is Phase.SUSPENDED
    for _ in range(5):
        operator.turn()
        world.kuberay_step()

    assert told(world.status, ConditionType.SUSPENDED) == ("True", Reason.STOCKOUT)
    assert told(world.status, ConditionType.CAPACITY_AVAILABLE) == ("False", Reason.STOCKOUT)
    assert told(world.status, ConditionType.STALLED) == ("True", Reason.STOCKOUT)
    assert world.jobs == {}
    assert "set spec.suspend" in world.status.message
    world.change(suspend=True)
    operator.turn()
    assert told(world.status, ConditionType.SUSPENDED) == ("True", Reason.PAUSED_BY_USER)
    world.change(suspend=False)
    simulator.settle(world, operator)
    assert world.status.phase is Phase.SUCCEEDED


def test_pods_that_go_after_machines_did_not_come_take_nothing_back_from_that(
    make_world, simulator, decide, told
):
    world = make_world("Provisioning")
    operator = simulator.Operator(world)
    world.machines = False
    waiting = [pod for pod in world.observed().pods if pod.unschedulable]
    assert waiting
    pass_hours(world, operator, 1)
    assert world.jobs == {}

    _, status = decide(dataclasses.replace(world.observed(), pods=tuple(waiting)))

    assert told(status, ConditionType.CAPACITY_AVAILABLE) == ("False", Reason.STOCKOUT)


# The end.


def test_a_complete_run_is_removed_when_its_ttl_is_over_and_not_before(make_world, decide):
    world = make_world("Succeeded", ttl={"runAfterFinished": "1h"})

    assert decide(later(world.observed(), 3000))[0] == []
    assert kinds(decide(later(world.observed(), 3700))[0]) == [RemoveRun]


def test_a_terminal_status_stays_although_the_spec_changes(make_world, decide):
    world = make_world("Succeeded")
    world.change(suspend=True)

    doings, status = decide(world.observed())

    assert doings == []
    assert status.phase is Phase.SUCCEEDED


def test_more_generations_asked_for_while_it_trains_are_trained_by_another_attempt(make_world, simulator):
    world = make_world("Running")
    operator = simulator.Operator(world)
    world.ask_for(5)
    operator.turn()
    assert world.status.progress.summary == "0/5"
    seen = set()
    for _ in range(60):
        operator.turn()
        world.kuberay_step()
        world.driver_step()
        world.pass_time(20)
        seen.add((world.status.phase, world.status.progress.generation))

    assert {done for phase, done in seen if phase is Phase.SUCCEEDED} == {5}  # nobody waits in vain
    assert world.status.phase is Phase.SUCCEEDED
    assert [entry.end_reason for entry in world.status.attempts] == [Reason.SUCCEEDED] * 2
    assert world.status.failed_attempts == 0
    assert world.folder.manifest.generations_asked == 5


@pytest.mark.parametrize("suspended", [False, True])
def test_a_complete_run_goes_further_however_late_it_is_asked_to(
    make_world, decide, told, simulator, suspended
):
    world = make_world("Succeeded", schedule={"deadline": "2h"})
    operator = simulator.Operator(world)
    world.pass_time(500_000)
    operator.turn()
    world.ask_for(5)
    world.change(suspend=suspended)

    doings, world.status = decide(world.observed())
    assert doings == [DeleteRayJob("reach-a01", "job-1", "attempt 1 is over (Succeeded)")]
    assert told(world.status, ConditionType.COMPLETE)[0] == "False"  # before anything follows from it
    assert world.status.completion_time is None

    if suspended:
        simulator.settle(world, operator)
        assert (world.status.phase, world.status.attempt) == (Phase.SUSPENDED, 1)
        world.change(suspend=False)
    simulator.settle(world, operator)
    assert world.status.phase is Phase.SUCCEEDED
    assert world.status.progress.summary == "5/5"
    assert world.status.paused_seconds >= 500_000
    succeeded = {a.name for a in world.done if getattr(a, "reason", "") == "Succeeded"}
    assert len(succeeded) == 2  # each end is told


def test_a_run_that_ended_by_its_own_rule_stays_complete_and_says_so(make_world, decide, told):
    world = make_world("Succeeded")
    world._write(stop_reason="nothing improved", generations_asked=50)
    world.ask_for(60)

    doings, status = decide(world.observed())

    assert doings == []
    assert told(status, ConditionType.COMPLETE) == ("True", Reason.SUCCEEDED)
    assert status.message.startswith(
        "complete (nothing improved; that 60 generations are asked for by now changes nothing); results in "
    )


def test_whether_a_run_goes_further_is_not_decided_while_its_folder_cannot_be_read(make_world, decide, told):
    world = make_world("Succeeded")
    world.ask_for(5)
    world.store_up = False
    assert decide(world.observed())[1].phase is Phase.SUCCEEDED  # nobody can tell that it goes further

    world.store_up = True
    _, world.status = decide(world.observed())
    world.store_up = False
    _, status = decide(world.observed())
    assert told(status, ConditionType.COMPLETE)[0] == "False"  # and it does not flicker


def test_a_lost_status_is_made_anew_from_what_is_there(make_world, decide, simulator):
    world = make_world("Succeeded")
    before, world.status = world.status, RunStatus()
    operator = simulator.Operator(world)
    operator.turn()

    assert world.status.phase is Phase.SUCCEEDED
    assert world.status.progress.summary == before.progress.summary
    assert world.status.attempts[0].end_reason is Reason.SUCCEEDED


def test_what_is_there_when_a_run_is_deleted_goes_before_its_finalizer(make_world, simulator):
    world = make_world("Running")
    operator = simulator.Operator(world)
    world.delete()
    operator.turn()
    assert world.folder.wish.pause is True
    assert world.jobs["reach-a01"].deleted_at is None

    world.pass_time(61)
    operator.turn()
    assert world.jobs["reach-a01"].deleted_at is not None
    assert not world.gone
    assert world.status.phase is Phase.DELETING

    world.kuberay_step()
    operator.turn()
    assert world.gone


def test_abandoning_waits_for_no_generation(make_world, decide):
    world = make_world("Running", deletionPolicy="Abandon")
    world.delete()

    assert kinds(decide(world.observed())[0]) == [DeleteRayJob]


def test_a_driver_that_has_stopped_is_not_waited_for(make_world, simulator, decide):
    world = make_world("Running")
    world.delete()
    simulator.Operator(world).turn()
    world.driver_step()

    assert kinds(decide(world.observed())[0]) == [DeleteRayJob]


def test_a_driver_that_is_asked_to_stop_is_given_its_time(make_world, decide, simulator):
    world = make_world("Running")
    world.delete()
    simulator.Operator(world).turn()

    doings, status = decide(later(world.observed(), 30))

    assert doings == []
    assert status.phase is Phase.DELETING


def test_pods_that_never_go_keep_a_deleted_run_for_a_quarter_of_an_hour(make_world, decide, told):
    world = make_world("Running")
    pods = world.observed().pods
    world.delete()
    world.jobs.clear()
    observed = dataclasses.replace(world.observed(), pods=pods)

    assert decide(later(observed, 880))[0] == []
    doings, status = decide(later(observed, 920))

    assert [action.finalizer for action in doings] == ["autolfads.dev/machines"]
    assert told(status, ConditionType.PROGRESSING) == ("False", Reason.CLEANUP_BLOCKED)
    assert "pod reach-a01-head" in status.message


@pytest.mark.parametrize(
    ("end_class", "phase"),
    [("bad-input", Phase.FAILED), ("interrupted", Phase.PENDING)],
    ids=["fatal", "again"],
)
def test_an_end_that_was_never_written_down_is_made_up_for(make_world, decide, simulator, end_class, phase):
    """The status was lost, and the next attempt has its lease already."""
    world = make_world("Running")
    world.end_driver(simulator.EndClass(end_class))
    world.jobs.clear()
    world.folder.lease = world.folder.lease.model_copy(update={"attempt": 2})

    doings, status = decide(world.observed())

    assert doings == []
    assert status.attempts[0].end_reason is not None
    assert status.phase is phase


def test_a_bad_recording_is_told_in_the_same_status_as_the_end(make_world, decide, simulator, told):
    world = make_world("Running")
    world.end_driver(simulator.EndClass.BAD_INPUT)
    world.kuberay_step()

    _, status = decide(world.observed())

    assert status.phase is Phase.FAILED
    assert told(status, ConditionType.DATA_READY) == ("False", Reason.BAD_INPUT)


def test_every_action_says_in_the_log_what_it_does(make_world, simulator):
    world = make_world()
    operator = simulator.Operator(world)
    world.change(ttl=world.run.spec.ttl.model_copy(update={"run_after_finished": "1h"}))
    for _ in range(4):
        operator.turn()
        world.kuberay_step()
        world.driver_step()
    world.change(suspend=True)
    simulator.settle(world, operator)
    world.change(suspend=False)
    simulator.settle(world, operator)
    world.pass_time(4000)
    for _ in range(3):
        operator.turn()
        world.kuberay_step()

    lines = {type(action).__name__: str(action) for action in world.done}
    assert len(lines) == 11
    assert all("<" not in line and "(" not in line[:8] and line[0].islower() for line in lines.values())
