import pytest

from lfads_worker.outline import Outline, Tracker, duration, joined, left

OUTLINE = Outline(epochs=(100, 20, 20), cohort_sizes=(2, 1))


def test_nothing_is_known_before_the_first_epochs():
    tracker = Tracker(OUTLINE)

    assert tracker.fraction == 0
    assert tracker.seconds_left(elapsed=5.0) is None


def test_the_first_report_says_nothing_about_the_speed():
    tracker = Tracker(OUTLINE)
    tracker.train(cohort=0, epochs_done=15, elapsed=100.0)

    assert tracker.fraction == 0.1
    assert tracker.seconds_left(elapsed=100.0) is None


def test_inside_the_first_generation_its_speed_since_the_first_report_predicts_the_rest():
    tracker = Tracker(OUTLINE)
    tracker.train(cohort=0, epochs_done=15, elapsed=1000.0)  # 2 of 3 members: 10 epochs, compiled and started
    tracker.train(cohort=0, epochs_done=75, elapsed=1080.0)

    assert tracker.mean_epochs_done == 50
    # 40 epochs took 80 s; 50 of this generation and 40 later ones are left
    assert tracker.seconds_left(elapsed=1080.0) == pytest.approx(180.0)


def test_after_the_first_generation_starting_up_is_forgotten():
    tracker = Tracker(OUTLINE)
    tracker.train(cohort=0, epochs_done=75, elapsed=900.0)
    tracker.finish(seconds=1000.0)  # the second half took 100 s, 2 s an epoch

    assert tracker.seconds_left(elapsed=0.0) == pytest.approx(2.0 * 40)


def test_a_first_generation_that_never_reported_predicts_as_a_whole():
    tracker = Tracker(OUTLINE)
    tracker.finish(seconds=200.0)  # 2 s an epoch
    tracker.train(cohort=0, epochs_done=20, elapsed=1.0)
    tracker.train(cohort=1, epochs_done=10, elapsed=1.0)

    assert tracker.generation == 1
    assert tracker.cohorts_done == 1
    assert tracker.seconds_left(elapsed=1.0) == pytest.approx(2.0 * (20 / 6 + 20))


def test_recent_generations_count_and_older_ones_do_not():
    outline = Outline(epochs=(10,) * 6, cohort_sizes=(1,))
    tracker = Tracker(outline, seconds=[1000.0, 10.0, 10.0, 10.0])

    assert tracker.seconds_left(elapsed=0.0) == pytest.approx(20.0)


def test_a_cohort_that_is_done_again_starts_anew():
    tracker = Tracker(OUTLINE)
    tracker.train(cohort=0, epochs_done=90, elapsed=1.0)
    tracker.train(cohort=0, epochs_done=0, elapsed=2.0)

    assert tracker.fraction == 0


def test_nothing_is_left_after_the_last_generation():
    tracker = Tracker(OUTLINE, seconds=[1.0, 1.0, 1.0])

    assert tracker.seconds_left(elapsed=0.0) == 0
    assert tracker.generation_epochs == 0
    assert tracker.epochs_before_and_now == 140


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        pytest.param(0.26, "0.3 s", id="under a second"),
        pytest.param(41.4, "41 s", id="seconds"),
        pytest.param(720, "12 min", id="minutes"),
        pytest.param(5 * 3600 + 61, "5 h 01 min", id="hours"),
    ],
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


def test_what_is_not_known_is_not_said():
    assert joined(["best 1", left(None), left(41)]) == "best 1, about 41 s left"
