import io
import logging

from rich.console import Console

from lfads_worker.driver import Driver
from lfads_worker.execution.cohorts import cut
from lfads_worker.execution.serial import SerialPool
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.outline import Outline, Tracker
from lfads_worker.progress import Followed, Lines, LiveTable

OUTLINE = Outline(epochs=(100, 20), cohort_sizes=(2, 2))


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def text_of(table, width=100):
    console = Console(file=io.StringIO(), width=width)
    console.print(table.render())
    return console.file.getvalue()


def test_a_long_first_generation_is_seen_to_move(caplog):
    clock = Clock()
    lines = Lines(clock, seconds_between_lines=30)
    tracker = Tracker(OUTLINE)

    with caplog.at_level(logging.INFO, "lfads_worker.progress"), lines.shown(tracker):
        for epoch in range(1, 61):
            clock.now += 1.0
            tracker.train(cohort=0, epochs_done=epoch, elapsed=clock.now)
            lines.trained()

    assert [record.getMessage() for record in caplog.records] == [
        "training 4 members in 2 cohorts for up to 2 generations, 120 epochs in all",
        "generation 0: 15 of 100 epochs, 0 of 2 cohorts done, about 4 min left",
        "generation 0: 30 of 100 epochs, 0 of 2 cohorts done, about 3 min left",
    ]


def test_whoever_asks_is_told_how_long_the_run_will_take_once_a_tenth_of_the_first_generation_is_timed(
    caplog,
):
    lines = Lines(Clock(), seconds_between_lines=0)
    followed = Followed(lines)
    tracker = Tracker(OUTLINE)

    with caplog.at_level(logging.INFO, "lfads_worker.progress"), followed.shown(tracker):
        assert followed.seconds_left is None
        told = []
        for epoch in range(1, 31):
            tracker.train(cohort=0, epochs_done=epoch, elapsed=40.0 + 2 * epoch)  # 40 s to start and compile
            followed.trained()
            told.append(followed.seconds_left)

    # One of two cohorts: an epoch of the whole population takes 4 s, and 120 - 15 are left.
    assert told[0] is None
    assert told[-1] == (120 - 15) * 4
    assert len(caplog.records) == 31  # shown as ever


def test_the_live_table_shows_the_generation_that_is_trained():
    clock = Clock()
    table = LiveTable(Console(file=io.StringIO()), clock)
    tracker = Tracker(OUTLINE)

    with table.shown(tracker):
        tracker.train(cohort=0, epochs_done=20, elapsed=100.0)
        clock.now = 110.0
        tracker.train(cohort=0, epochs_done=100, elapsed=110.0)
        shown = text_of(table)

    assert "generation 0" in shown
    assert "50/100 epochs, 1/2 cohorts done" in shown
    assert "0/2 generations, about 18 s left" in shown


def test_the_live_table_has_a_row_a_generation_and_forgets_old_ones(make_run):
    run = make_run(population={"generations": 14, "stopping": {"patience": 100}})
    table = LiveTable(Console(file=io.StringIO()))

    with SerialPool(ToyTrainer()) as pool:
        Driver(run.spec, cut(5, 2), pool, table).run()
    rows = [line.split() for line in text_of(table).splitlines()]

    assert rows[0] == ["generation", "best", "member", "median", "exploited", "diverged", "time"]
    assert [row[0] for row in rows[1:]] == [str(generation) for generation in range(4, 14)]


def test_the_last_table_stays_on_the_terminal(make_run):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    run = make_run(population={"generations": 2})

    with SerialPool(ToyTrainer()) as pool:
        Driver(run.spec, cut(5, 2), pool, LiveTable(console)).run()

    assert "exploited" in console.file.getvalue()
