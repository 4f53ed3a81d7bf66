from autolfads_operator import events, plan
from autolfads_operator.actions import PostEvent


def story(world, simulator, rounds=60):
    """The reasons of all events until the run rests, each name once, as the API server keeps them."""
    operator = simulator.Operator(world)
    for _ in range(rounds):
        operator.turn()
        world.kuberay_step()
        world.driver_step()
        world.pass_time(20)
    return list(
        {action.name: action.reason for action in world.done if isinstance(action, PostEvent)}.values()
    )


def test_an_undisturbed_run_tells_its_story_once(make_world, simulator):
    assert story(make_world(generations=2), simulator) == [
        "Accepted",
        "AttemptStarted",
        "GenerationCommitted",
        "GenerationCommitted",
        "Succeeded",
    ]


def test_many_generations_are_told_a_tenth_at_a_time(make_world, simulator):
    world = make_world(generations=100)
    found = story(world, simulator, rounds=200)

    assert 5 <= found.count("GenerationCommitted") <= 11


def test_a_failed_attempt_a_pause_and_what_follows_are_told(make_world, simulator):
    world = make_world("Running", generations=4)
    operator = simulator.Operator(world)
    world.delete_job_by_hand()
    world.kuberay_step()
    operator.turn()
    world.change(suspend=True)
    simulator.settle(world, operator)
    world.change(suspend=False)
    found = story(world, simulator)

    for reason in ("AttemptFailed", "Paused", "Resumed", "Succeeded"):
        assert found.count(reason) == 1, (reason, found)
    assert found.count("AttemptStarted") == 2


def test_the_same_event_has_the_same_name_and_another_run_another(make_world, terms):
    world = make_world()

    def names(observed):
        found = plan.plan(observed, terms).actions
        return [action.name for action in found if isinstance(action, PostEvent)]

    first = names(world.observed())

    assert first == names(world.observed())
    assert len(set(first)) == len(first)


def test_a_rejected_spec_is_a_warning_with_the_sentence(make_world, terms):
    world = make_world(compute={"nodePool": {"mode": "Shared"}})

    found = plan.plan(world.observed(), terms).actions

    assert [action.kind for action in found] == ["Warning"]
    assert found[0].reason == events.EventReason.REJECTED
    assert "nodePool" in found[0].message


def test_a_pool_that_is_made_and_a_quota_that_lacks_are_told_once(
    simulator, simulated_cloud, make_run, cloud_terms
):
    compute = {"accelerator": {"type": "nvidia-l4"}, "nodePool": {"mode": "Dedicated"}}
    world = simulated_cloud.CloudWorld(make_run(compute=compute), cloud_terms)
    world.google.limit = 0.0
    story(world, simulator, rounds=10)
    world.google.limit = 8.0
    found = story(world, simulator)

    assert [found.count(reason) for reason in ("QuotaMissing", "NodePoolCreating", "Succeeded")] == [1, 1, 1]
    assert found.index("QuotaMissing") < found.index("NodePoolCreating")
