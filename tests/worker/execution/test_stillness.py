from lfads_worker.execution.stillness import LONGEST_GAP, Pace, Watch, patience

MINUTE = 60.0


def looked_after(seconds, *, since=0.0, every=30.0):
    """Times of looks until so many seconds have gone by, as often as a pool would never be slower than."""
    looks = int(seconds // every)
    return [since + every * (number + 1) for number in range(looks)]


def still_after(pace, watch, *, since=0.0):
    """Seconds of silence after which a cohort is taken for still."""
    for now in looked_after(24 * 60 * MINUTE, since=since):
        pace.look(watch, None, now)
        if pace.is_still(watch):
            return now - since
    raise AssertionError("never")


def test_patience_is_ten_minutes_or_five_usual_steps():
    assert patience([], at_first=False) == 10 * MINUTE
    assert patience([1.0, 2.0, 500.0], at_first=False) == 10 * MINUTE
    assert patience([300.0, 10.0, 200.0], at_first=False) == 1000.0


def test_the_compiler_is_waited_for_longer():
    assert patience([], at_first=True) == patience([1.0], at_first=True) == 60 * MINUTE
    assert patience([20 * MINUTE], at_first=True) == 100 * MINUTE


def test_a_first_step_of_half_an_hour_trips_nothing():
    pace, watch = Pace(), Watch(0.0, at_first=True)

    for now in looked_after(30 * MINUTE):
        pace.look(watch, 0, now)
        assert not pace.is_still(watch)


def test_slow_steps_are_the_measure_of_themselves():
    """25 min a step, the first one too: none of them is anything but usual."""
    pace, watch = Pace(), Watch(0.0, at_first=True)

    for now in looked_after(250 * MINUTE):
        pace.look(watch, int(now // (25 * MINUTE)), now)
        assert not pace.is_still(watch)
    assert watch.steps == 10


def test_a_cohort_that_stops_moving_is_still_after_ten_minutes():
    pace, watch = Pace(), Watch(0.0, at_first=True)
    pace.look(watch, 5, 20.0)
    pace.look(watch, 10, 22.0)

    assert 10 * MINUTE < still_after(pace, watch, since=22.0) <= 11 * MINUTE


def test_the_usual_step_is_one_of_all_workers():
    pace = Pace()
    for number in range(3):
        other = Watch(0.0, at_first=False)
        for now in looked_after(3 * MINUTE, every=MINUTE):
            pace.look(other, None, now)
        pace.look(other, 5 + number, 4 * MINUTE)

    assert 20 * MINUTE < still_after(pace, Watch(0.0, at_first=False)) <= 21 * MINUTE


def test_the_same_answer_again_is_no_step():
    pace, watch = Pace(), Watch(0.0, at_first=False)
    pace.look(watch, 5, 10.0)

    for now in looked_after(11 * MINUTE, since=10.0):
        pace.look(watch, 5, now)

    assert pace.is_still(watch)


def test_a_driver_that_was_stopped_itself_blames_nobody():
    pace, watch = Pace(), Watch(0.0, at_first=False)

    pace.look(watch, None, 8 * 60 * MINUTE)

    assert watch.quiet == LONGEST_GAP
    assert not pace.is_still(watch)


def test_an_answer_after_a_long_silence_begins_anew():
    pace, watch = Pace(), Watch(0.0, at_first=False)
    for now in looked_after(9 * MINUTE):
        pace.look(watch, None, now)

    pace.look(watch, 5, 9 * MINUTE + 1)

    assert watch.quiet == 0
    assert not pace.is_still(watch)
