"""What is remembered of watched objects: the newest version, and that what was deleted is gone."""

import copy

from hypothesis import given
from hypothesis import strategies as st

from autolfads_operator.cache import Cache
from autolfads_operator.kinds import PODS, RAY_JOBS, RUNS
from autolfads_operator.manifests import names


def run(uid="u1", version=1, **more):
    metadata = {"name": "reach", "namespace": "lab", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {}, **more}


def job(uid="j1", version=1, status="Running", run_uid="u1", attempt=1):
    return {
        "metadata": {
            "name": f"reach-a{attempt:02d}",
            "namespace": "lab",
            "uid": uid,
            "resourceVersion": str(version),
            "labels": names.labels("reach", run_uid, attempt),
        },
        "status": {"jobDeploymentStatus": status},
    }


def test_the_newest_version_wins_in_whatever_order_they_come():
    cache = Cache()
    cache.put(RAY_JOBS, job(version=10, status="Complete"))

    assert cache.put(RAY_JOBS, job(version=9, status="Running")) is None
    (entry,) = cache.made_for("u1", RAY_JOBS)
    assert entry.value.deployment_status == "Complete"


def test_versions_are_compared_as_numbers():
    cache = Cache()
    cache.put(RAY_JOBS, job(version=9, status="Running"))
    cache.put(RAY_JOBS, job(version=10, status="Complete"))

    assert cache.made_for("u1", RAY_JOBS)[0].value.deployment_status == "Complete"


def test_a_version_in_which_nothing_of_interest_changed_is_no_news():
    cache = Cache()
    assert cache.put(RAY_JOBS, job(version=1)) is not None
    assert cache.put(RAY_JOBS, job(version=2)) is None

    same = run(version=3)
    assert cache.put(RUNS, same) is not None
    touched = copy.deepcopy(same)
    touched["metadata"] |= {"resourceVersion": "4", "managedFields": [{"manager": "kubectl"}]}
    assert cache.put(RUNS, touched) is None


def test_what_was_deleted_does_not_come_back_with_a_late_answer():
    cache = Cache()
    cache.put(RAY_JOBS, job(version=5))
    cache.drop("j1")

    assert cache.put(RAY_JOBS, job(version=4)) is None
    assert cache.made_for("u1", RAY_JOBS) == []


def test_another_object_of_the_same_name_is_another_object():
    cache = Cache()
    cache.put(RAY_JOBS, job("j1", 5))
    cache.drop("j1")
    cache.put(RAY_JOBS, job("j2", 6))

    assert [entry.uid for entry in cache.made_for("u1", RAY_JOBS)] == ["j2"]


def test_objects_are_found_by_the_run_they_were_made_for():
    cache = Cache()
    cache.put(RUNS, run())
    cache.put(RAY_JOBS, job("j2", 2, attempt=2))
    cache.put(RAY_JOBS, job("j1", 1, attempt=1))
    cache.put(RAY_JOBS, job("j9", 3, run_uid="another"))

    assert [entry.value.attempt for entry in cache.made_for("u1", RAY_JOBS)] == [1, 2]
    assert cache.made_for("u1", PODS) == []
    assert cache.run("u1").name == "reach"
    assert cache.run("j1") is None


def test_an_object_that_is_none_of_ours_is_not_kept():
    cache = Cache()
    cache.put(RAY_JOBS, {"metadata": {"name": "a", "namespace": "b", "uid": "c", "resourceVersion": "1"}})

    assert len(cache) == 0


def test_a_list_drops_what_was_known_before_it_and_is_not_on_it():
    cache = Cache()
    cache.put(RAY_JOBS, job("j1"))
    cache.put(RAY_JOBS, job("j2"))
    before = cache.uids(RAY_JOBS)
    cache.put(RAY_JOBS, job("j3"))  # made after the list was asked for

    assert [entry.uid for entry in cache.retain(before, ["j2"])] == ["j1"]
    assert cache.uids(RAY_JOBS) == {"j2", "j3"}


@given(st.permutations([job(version=n, status=str(n)) for n in range(1, 6)]), st.integers(0, 5))
def test_any_order_of_events_ends_with_the_newest_or_with_nothing_once_deleted(events, deleted_after):
    cache = Cache()
    for event in events[:deleted_after]:
        cache.put(RAY_JOBS, event)
    if deleted_after:
        cache.drop("j1")
    for event in events[deleted_after:]:
        cache.put(RAY_JOBS, event)

    found = [entry.value.deployment_status for entry in cache.made_for("u1", RAY_JOBS)]
    assert found == ([] if deleted_after else ["5"])


def worker(name="w1", version=5, **status):
    labels = {**names.labels("reach", "u1", 1), "ray.io/node-type": "worker"}
    metadata = {
        "name": name,
        "namespace": "lab",
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "labels": labels,
    }
    return {"metadata": metadata, "status": {"phase": "Running", **status}}


def test_a_worker_that_lost_its_machine_is_remembered_when_it_is_gone_until_that_is_written():
    cache = Cache()
    cache.put(RUNS, run())
    cache.put(PODS, worker())
    assert cache.workers_lost("u1") == frozenset()
    cache.put(PODS, worker(version=6, phase="Failed", reason="Terminated"))
    assert cache.workers_lost("u1") == {"w1"}
    cache.drop("uid-w1")
    assert cache.workers_lost("u1") == {"w1"}

    cache.forget_lost("u1", ["w1"])
    assert cache.workers_lost("u1") == frozenset()


def test_a_worker_that_just_goes_was_not_lost():
    cache = Cache()
    cache.put(RUNS, run())
    cache.put(PODS, worker())
    cache.drop("uid-w1")

    assert cache.workers_lost("u1") == frozenset()


def test_nothing_of_a_run_that_is_gone_is_remembered():
    cache = Cache()
    cache.put(RUNS, run())
    cache.put(PODS, worker(phase="Failed", reason="Terminated"))
    cache.drop("u1")
    cache.drop("uid-w1")

    assert cache.workers_lost("u1") == frozenset()
