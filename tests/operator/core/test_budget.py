"""A run and its budget, in the simulated world: what it costs, what is forecast, and what the limit does."""

import random

import pytest

from autolfads_operator import plan
from autolfads_operator.actions import PostEvent, WriteCost, WriteWish
from autolfads_operator.events import EventReason
from autolfads_spec.attempt import BUDGET_STOP, EndClass
from autolfads_spec.status import Cost, Phase, Reason, RunStatus

# An hour of the default run here, from prices.yaml by hand: two L4 machines on demand, and the head's share.
WORKER, HEAD = 0.853624, 2 * 0.031611 + 8 * 0.004237
HOUR = 2 * WORKER + HEAD


@pytest.fixture
def train(simulator):
    """Lets so many generations of a minute pass, the operator looking at each end and in between."""

    def train(world, generations, operator=None, seconds=60):
        operator = operator or simulator.Operator(world)
        for _ in range(generations):
            world.pass_time(seconds / 2)
            operator.turn()
            world.pass_time(seconds / 2)
            world.kuberay_step()
            world.driver_step()
            operator.turn()
            simulator.check(world)
        return operator

    return train


def amount(world):
    return world.folder.cost.amount


def paid(world):
    """The true bill."""
    return world.hours["worker"] * WORKER + world.hours["head"] * HEAD


def condition(world, kind):
    return next(c for c in world.status.conditions if c.type == kind)


def test_the_status_tells_what_was_used_and_no_forecast_before_a_measurement(make_world, simulator):
    world = make_world("Provisioning", generations=50)
    operator = simulator.Operator(world)
    operator.turn()
    assert world.status.cost.whole_run is None
    world.pass_time(3600)
    operator.turn()

    told = world.status.cost
    assert told.estimate == f"{paid(world):.2f}" == f"{HOUR:.2f}"[:-1] + told.estimate[-1]
    assert told.gpu_hours == "2.00"
    assert told.rate == f"{HOUR:.2f}"
    assert told.summary == f"{told.estimate} USD"
    assert told.price_table == world.terms.prices.title


def test_the_whole_run_is_forecast_from_the_first_generation_on(make_world, train):
    world = make_world("Running", generations=50)
    train(world, 1)

    # Generation 0 holds the ramps: 60 s are 80 + 25 epochs by default, and a second for the commit.
    ramp, epochs = world.run.spec.training.ramp_epochs, world.run.spec.population.epochs_per_generation
    done = len(world.folder.manifest.generations)
    each = 60 * epochs / (ramp + epochs) + 1 if done == 1 else 61
    expected = paid(world) + (50 - done) * each / 3600 * HOUR
    assert float(world.status.cost.whole_run) == pytest.approx(expected, abs=0.02)
    assert world.status.cost.summary == f"{world.status.cost.estimate} of ~{world.status.cost.whole_run} USD"


def test_the_whole_run_is_forecast_within_the_first_generation_from_what_its_driver_has_timed(
    make_world, simulator
):
    world = make_world("Running", generations=50)
    world.driver_step = lambda: None
    operator = simulator.Operator(world)
    world._write(generation=None, generations=(), best=None)
    operator.turn()
    assert world.status.cost.whole_run is None
    world.pass_time(600)
    world._write(heartbeat=simulator.text(world.now), seconds_left=7200.0)
    operator.turn()
    assert float(world.status.cost.whole_run) == pytest.approx(paid(world) + 2 * HOUR, abs=0.02)
    world.pass_time(60)
    operator.turn()

    expected = paid(world) + (7200 - 60) / 3600 * HOUR
    assert float(world.status.cost.whole_run) == pytest.approx(expected, abs=0.02)


def test_a_run_whose_first_epochs_are_too_slow_for_its_budget_ends_with_its_first_generation(
    make_world, train, simulator
):
    world = make_world("Running", generations=50, budget={"maxCost": "3.00"})
    operator = simulator.Operator(world)
    world._write(generation=None, generations=(), best=None, seconds_left=10 * 3600.0)
    operator.turn()

    told = condition(world, "BudgetOK")
    assert told.status == "False"
    assert "after 0 of 50 generations" in told.message
    assert world.folder.wish.pause


def test_what_is_kept_is_what_was_paid_and_the_status_of_each_attempt_has_its_share(make_world, train):
    world = make_world("Running", generations=50)
    operator = train(world, 4)
    world.delete_job_by_hand()
    for _ in range(8):
        operator.turn()
        world.kuberay_step()
        world.pass_time(5)
    train(world, 4, operator)

    assert world.status.attempt == 2
    assert float(world.status.cost.estimate) == pytest.approx(paid(world), abs=0.02)
    hours = [float(entry.gpu_hours) for entry in world.status.attempts]
    assert sum(hours) == pytest.approx(world.hours["worker"], abs=0.03)
    assert min(hours) > 0


def test_the_record_is_kept_now_and_then_and_whenever_machines_come_or_go(make_world, simulator):
    world = make_world("Running", generations=50)
    operator = simulator.Operator(world)
    operator.turn()
    world.done.clear()
    for _ in range(60):  # ten minutes
        world.pass_time(10)
        world._write(heartbeat=simulator.text(world.now))
        operator.turn()
    assert 4 <= sum(isinstance(action, WriteCost) for action in world.done) <= 6
    world.done.clear()
    world.machines = False

    operator.turn()

    assert [type(action) for action in world.done] == [WriteCost]


def test_amounts_alone_are_no_reason_to_write_a_status_every_few_seconds(make_world, simulator):
    world = make_world("Running", generations=50)
    operator = simulator.Operator(world)
    operator.turn()
    written = 0
    for _ in range(60):
        world.pass_time(10)
        world._write(heartbeat=simulator.text(world.now))
        operator.look()
        new, old = operator.plan.status, world.status
        if plan.status.is_worth_writing(old, new):
            assert not plan.status.is_urgent(old, new)
            world.write_status(new)
            written += 1

    assert written <= 6


@pytest.mark.parametrize("lost", ["status", "record", "both files but the status", "nothing"])
def test_no_loss_of_one_memory_loses_the_sum(make_world, train, simulator, lost):
    world = make_world("Running", generations=50)
    operator = train(world, 20)
    before = paid(world)
    if lost == "status":
        world.status = RunStatus()
    elif lost != "nothing":
        world.folder.cost = None
    operator.turn()
    train(world, 1, simulator.Operator(world))

    assert float(world.status.cost.estimate) == pytest.approx(paid(world), abs=0.03)
    assert amount(world) >= before - 0.01


def test_an_operator_that_was_away_counts_what_went_on_without_it(make_world, train, simulator):
    world = make_world("Running", generations=500)
    train(world, 3)
    train(world, 60, operator=Blind())
    simulator.Operator(world).turn()

    assert amount(world) == pytest.approx(paid(world), abs=0.01)


class Blind:
    """An operator that is away."""

    def turn(self):
        pass


def test_a_used_up_budget_pauses_the_run_at_the_end_of_its_generation(make_world, train, simulator):
    world = make_world("Running", generations=50, budget={"maxCost": "2.00"})
    operator = train(world, 3)
    assert condition(world, "BudgetOK").status == "True"
    done = len(world.folder.manifest.generations)
    world.pass_time(4000)  # a generation that takes an hour
    world._write(heartbeat=simulator.text(world.now))
    operator.turn()

    assert (world.folder.wish.pause, world.folder.wish.finish) == (True, False)
    assert world.status.phase is Phase.PAUSING
    world.driver_step()
    simulator.settle(world, operator)

    assert world.status.phase is Phase.SUSPENDED
    assert condition(world, "Suspended").reason is Reason.BUDGET_EXCEEDED
    told = condition(world, "BudgetOK")
    assert (told.status, told.reason) == ("False", Reason.BUDGET_EXCEEDED)
    assert "wanted at most 2.00 USD (spec.budget.maxCost), found that it has used 2.10 USD;" in told.message
    assert world.status.attempts[0].end_reason is Reason.BUDGET_EXCEEDED
    assert world.folder.ends[1].end_class is EndClass.PAUSED
    assert len(world.folder.manifest.generations) == done  # nothing that was committed is lost
    assert not world.jobs
    stopped = amount(world)
    world.pass_time(36000)
    operator.turn()
    assert amount(world) == stopped


def test_raising_the_budget_goes_on_and_ends_the_run(make_world, train, simulator):
    world = make_world("Running", generations=50, budget={"maxCost": "2.00"})
    operator = train(world, 3)
    world.pass_time(4000)
    world._write(heartbeat=simulator.text(world.now))
    simulator.settle(world, operator)
    assert world.status.phase is Phase.SUSPENDED
    world.change(budget=world.run.spec.budget.model_copy(update={"max_cost": "20.00"}))
    simulator.settle(world, operator)

    assert world.status.phase is Phase.SUCCEEDED
    assert world.status.attempt == 2
    assert condition(world, "BudgetOK").status == "True"


def test_a_used_up_budget_that_fails_writes_the_results_of_the_best_so_far(make_world, train, simulator):
    world = make_world("Running", generations=50, budget={"maxCost": "2.00", "onExceeded": "Fail"})
    operator = train(world, 3)
    done = len(world.folder.manifest.generations)
    world.pass_time(4000)
    world._write(heartbeat=simulator.text(world.now))
    operator.turn()
    assert (world.folder.wish.pause, world.folder.wish.finish) == (True, True)
    assert world.status.phase is Phase.FINALIZING
    simulator.settle(world, operator)

    assert world.status.phase is Phase.FAILED
    failed = condition(world, "Failed")
    assert (failed.status, failed.reason) == ("True", Reason.BUDGET_EXCEEDED)
    assert "2.00 USD" in failed.message
    assert "gs://lab/runs/reach" in failed.message
    assert world.folder.results
    assert world.status.paths.rates is not None
    assert world.folder.manifest.stop_reason == BUDGET_STOP
    assert len(world.folder.manifest.generations) == done + 1
    assert world.status.attempts[-1].end_reason is Reason.BUDGET_EXCEEDED
    assert not any(simulator.is_live(job) for job in world.jobs.values())


def test_a_driver_that_dies_while_it_finishes_is_followed_by_one_that_writes_the_results(
    make_world, train, simulator
):
    world = make_world("Running", generations=50, budget={"maxCost": "2.00", "onExceeded": "Fail"})
    operator = train(world, 3)
    world.pass_time(4000)
    world._write(heartbeat=simulator.text(world.now), stop_reason=BUDGET_STOP)
    world.kill_driver()
    simulator.settle(world, operator)

    assert world.status.phase is Phase.FAILED
    assert world.folder.results
    assert world.status.attempt == 2


def test_a_budget_that_only_warns_stops_nothing(make_world, train, simulator):
    world = make_world("Running", generations=50, budget={"maxCost": "0.05", "onExceeded": "Warn"})
    operator = train(world, 5)
    assert condition(world, "BudgetOK").status == "False"
    told = condition(world, "BudgetOK").message
    train(world, 5, operator)
    assert condition(world, "BudgetOK").message == told  # no condition that changes every second
    simulator.settle(world, operator)

    assert world.status.phase is Phase.SUCCEEDED
    assert condition(world, "BudgetOK").reason is Reason.BUDGET_EXCEEDED
    posted = [a.reason for a in world.done if isinstance(a, PostEvent)]
    assert posted.count(EventReason.BUDGET_EXCEEDED) == 1


@pytest.mark.parametrize(
    ("budget", "part"),
    [
        ({"maxCost": "0.50"}, "0.50 USD (spec.budget.maxCost)"),
        ({"maxGpuHours": 0.5}, "0.5 GPU-hours (spec.budget.maxGpuHours)"),
    ],
)
def test_a_run_whose_forecast_is_above_its_budget_is_stopped_at_once(
    make_world, train, simulator, budget, part
):
    world = make_world("Running", generations=50, budget=budget)
    operator = train(world, 2)
    simulator.settle(world, operator)

    assert world.status.phase is Phase.SUSPENDED
    told = condition(world, "BudgetOK").message
    assert f"wanted at most {part}, found that the whole run is estimated at " in told
    assert "of 50 generations; raise it" in told
    assert len(world.folder.manifest.generations) <= 3
    world.change(budget=world.run.spec.budget.model_copy(update={"on_exceeded": "Warn"}))
    simulator.settle(world, operator)
    assert world.status.phase is Phase.SUCCEEDED


def test_a_forecast_stops_no_run_that_is_under_way_for_long(make_world, train, simulator):
    world = make_world("Running", generations=50, budget={"maxCost": "100.00"})
    operator = train(world, 10)
    world.change(budget=world.run.spec.budget.model_copy(update={"max_cost": "1.00"}))
    train(world, 2, operator)

    assert condition(world, "BudgetOK").status == "True"
    assert world.status.phase is Phase.RUNNING


def test_a_budget_of_a_run_that_is_all_trained_keeps_nobody_from_writing_results(
    make_world, train, simulator
):
    world = make_world("Running", generations=3, budget={"maxCost": "2.00", "onExceeded": "Fail"})
    operator = train(world, 1)
    world.pass_time(4000)
    world._write(heartbeat=simulator.text(world.now), stop_reason="all generations are trained")
    operator.turn()

    assert not any(isinstance(a, WriteWish) for a in world.done)
    simulator.settle(world, operator)
    assert world.status.phase is Phase.SUCCEEDED


def test_a_complete_run_without_budget_for_more_starts_no_driver_that_unmarks_its_results(
    make_world, simulator
):
    world = make_world("Succeeded")
    world.change(budget=world.run.spec.budget.model_copy(update={"max_cost": "0.01"}))
    world.ask_for(50)

    simulator.settle(world, simulator.Operator(world))

    assert condition(world, "Suspended").reason is Reason.BUDGET_EXCEEDED
    assert world.folder.results
    assert world.status.attempt == 1


def test_a_suspended_run_over_its_budget_stays_suspended_when_the_user_lets_it_go_on(
    make_world, train, simulator
):
    world = make_world("Running", generations=50, budget={"maxCost": "2.00"})
    operator = train(world, 3)
    world.change(suspend=True)
    world.pass_time(4000)
    world._write(heartbeat=simulator.text(world.now))
    simulator.settle(world, operator)
    assert condition(world, "Suspended").reason is Reason.PAUSED_BY_USER
    world.change(suspend=False)
    simulator.settle(world, operator)

    assert world.status.phase is Phase.SUSPENDED
    assert condition(world, "Suspended").reason is Reason.BUDGET_EXCEEDED


def test_a_budget_in_money_needs_a_price_before_anything_is_started(make_world, simulator):
    machine = {"type": "nvidia-l4", "machineType": "g2-standard-12"}
    world = make_world(budget={"maxCost": "2.00"}, compute={"accelerator": machine})
    operator = simulator.Operator(world)
    for _ in range(5):
        operator.turn()
        world.kuberay_step()

    told = condition(world, "BudgetOK")
    assert (told.status, told.reason) == ("False", Reason.PRICE_MISSING)
    assert "wanted the price of a g2-standard-12 with nvidia-l4" in told.message
    assert "docs/cost.md" in told.message
    assert not world.jobs


def test_a_run_made_anew_in_the_same_folder_counts_what_the_one_before_has_cost(make_world, train, simulator):
    world = make_world("Running", generations=50, budget={"maxCost": "2.00"})
    operator = train(world, 3)
    world.pass_time(4000)
    world._write(heartbeat=simulator.text(world.now))
    simulator.settle(world, operator)
    used = world.folder.cost.amount
    world.status, world.best_seen = RunStatus(), 0
    world.folder.lease = world.folder.lease.model_copy(update={"owner": "uid-before"})
    simulator.settle(world, operator, rounds=10)

    assert world.status.phase is Phase.SUSPENDED
    assert float(world.status.cost.estimate) == pytest.approx(used, abs=0.01)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_the_sum_covers_what_was_paid_and_little_more(make_run, terms, simulator, seed):
    """Random faults; one operator that is killed, loses statuses, and is away for up to ten minutes."""
    chance = random.Random(seed)
    world = simulator.World(make_run(), terms, generations=30)
    operator = simulator.Operator(world)
    longest, away, changes = 0.0, 0.0, 0

    def holding():
        world._place()
        return set(world.placed.values())

    before = holding()
    for _ in range(120):
        fault = chance.choice(
            [world.lose_head, world.lose_cluster, world.kill_driver, world.delete_job_by_hand, None]
            + [None] * 25
        )
        if fault is not None:
            fault()
        world.machines = chance.random() > 0.1
        world.kuberay_step()
        world.driver_step()
        now = holding()
        changes += len(before - now)
        before = now
        is_away = chance.random() < 0.3
        if not is_away:
            for _ in range(3):  # several looks at one moment: what it did is seen
                operator.crash() if chance.random() < 0.2 else operator.turn()
            operator.turn()
            now = holding()
            changes += len(before - now)
            before = now
            away = 0.0
            if chance.random() < 0.1:
                world.status = world.status.model_copy(update={"cost": None})
        seconds = chance.choice([5, 20, 60, 200])
        away += seconds
        longest = max(longest, away)
        world.pass_time(seconds)
    operator.turn()

    told = world.status.cost or Cost(estimate="0")
    record = world.folder.cost
    slack = changes * longest / 3600 * WORKER
    unseen = slack  # what came and went while nobody looked is nobody's to count
    assert paid(world) - unseen - 0.01 <= float(told.estimate) <= paid(world) + slack + 0.01
    assert record is None or record.amount <= paid(world) + slack + 0.01


@pytest.mark.parametrize("on_exceeded", ["Suspend", "Fail"])
@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_a_budget_is_overrun_by_a_generation_at_most(
    make_run, terms, simulator, seed, on_exceeded
):
    """Random faults; generations of ten minutes, and a budget for about ten of them."""
    chance = random.Random(seed)
    limit = 10 * HOUR / 6
    budget = {"maxCost": f"{limit:.2f}", "onExceeded": on_exceeded}
    population = {"size": 4, "generations": 60, "epochsPerGeneration": 25}
    world = simulator.World(make_run(budget=budget, population=population), terms, generations=60)
    world.run = world.run.model_copy(
        update={"spec": world.run.spec.model_copy(update={"retry": patient(world)})}
    )
    operator = simulator.Operator(world)
    at_limit = None
    for _ in range(150):
        fault = chance.choice([world.lose_head, world.kill_driver, world.delete_job_by_hand] + [None] * 40)
        if fault is not None:
            fault()
        for _ in range(chance.randint(1, 5)):
            operator.step()
            if chance.random() < 0.1:
                operator.crash()
        operator.turn()
        world.kuberay_step()
        if at_limit is None and world.folder.cost is not None and amount(world) >= limit:
            at_limit = len(world.commits)
        world.driver_step()
        simulator.check(world)
        world.pass_time(600 if world.folder.manifest is not None else 20)
        if world.folder.manifest is not None:
            world._write(heartbeat=simulator.text(world.now))
    simulator.settle(world, operator)

    assert at_limit is not None
    assert len(world.commits) <= at_limit + 1
    if on_exceeded == "Suspend":
        assert world.status.phase is Phase.SUSPENDED
        assert condition(world, "Suspended").reason is Reason.BUDGET_EXCEEDED
    else:
        assert world.status.phase is Phase.FAILED
        assert condition(world, "Failed").reason is Reason.BUDGET_EXCEEDED
    assert not any(simulator.is_live(job) for job in world.jobs.values())


def patient(world):
    return world.run.spec.retry.model_copy(update={"max_attempts": 100})
