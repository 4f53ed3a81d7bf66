"""Sums of money over time: against sums that are made here, minute by minute, in another way."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolfads_operator import cost
from autolfads_operator.cost import Running, settled
from autolfads_spec.cost import CostRecord
from autolfads_spec.status import Cost

START = datetime(2030, 1, 1, tzinfo=UTC)


def at(minutes):
    return START + timedelta(minutes=minutes)


def one(key="node/a", price=6.0, gpus=0, since=0, attempt=1):
    return Running(key, "g2-standard-8 Spot", attempt, price, gpus, at(since))


def look(record, running, minutes):
    """A look of an operator that remembers nothing but the file."""
    kept = CostRecord.model_validate_json(record.to_bytes())
    return settled(kept, running, at(minutes), "USD", "table 2030-01-01")


def test_nothing_costs_nothing():
    record = look(CostRecord(), [], 10)

    assert (record.amount, record.gpu_hours, record.metered) == (0, 0, ())
    assert cost.rate(record) == 0


def test_a_machine_counts_from_its_beginning_however_late_it_is_seen():
    record = look(CostRecord(), [one(since=10)], 40)

    assert record.amount == pytest.approx(6.0 * 0.5)
    assert look(record, [one(since=10)], 100).amount == pytest.approx(6.0 * 1.5)


def test_what_is_gone_counts_until_it_was_seen_gone_and_no_longer():
    record = look(CostRecord(), [one()], 30)
    gone = look(record, [], 60)

    assert gone.amount == pytest.approx(6.0)
    assert look(gone, [], 600).amount == gone.amount
    assert cost.rate(gone) == 0


def test_what_was_taken_for_gone_and_is_there_again_counts_once():
    record = look(look(look(CostRecord(), [one()], 30), [], 40), [one()], 50)

    assert record.amount == pytest.approx(6.0 * 50 / 60)


def test_what_others_had_meanwhile_counts_from_when_it_came_back():
    record = look(look(look(CostRecord(), [one()], 30), [], 40), [one(since=60, attempt=2)], 90)

    assert record.amount == pytest.approx(6.0 * (40 + 30) / 60)


def test_gpus_are_counted_in_hours_and_everything_by_attempt():
    first = look(CostRecord(), [one(), one("pod/a", 0.0, gpus=2)], 60)
    second = look(first, [one("pod/b", 3.0, gpus=4, since=60, attempt=2)], 90)

    assert second.gpu_hours == pytest.approx(2 * 1.5 + 4 * 0.5)
    assert [(entry.number, entry.amount, entry.gpu_hours) for entry in second.attempts] == [
        (1, pytest.approx(9.0), pytest.approx(3.0)),
        (2, pytest.approx(1.5), pytest.approx(2.0)),
    ]


def test_a_new_price_counts_from_when_it_was_known():
    record = look(look(CostRecord(), [one(price=6.0)], 60), [one(price=12.0)], 120)

    assert record.amount == pytest.approx(12.0)
    assert look(record, [one(price=12.0)], 180).amount == pytest.approx(24.0)


def test_a_clock_that_went_back_gives_no_money_back():
    record = look(CostRecord(), [one()], 60)

    assert look(record, [one()], 30).amount == record.amount
    assert look(look(record, [one()], 30), [one()], 90).amount == pytest.approx(9.0)


def test_a_lost_record_goes_on_from_what_the_status_knows():
    status = Cost(estimate="1.25", gpu_hours="2.50", currency="EUR", as_of="2030-01-01T00:00:00Z")

    record = cost.remembered(status)

    assert (record.amount, record.gpu_hours, record.currency) == (1.25, 2.5, "EUR")
    assert cost.remembered(Cost(estimate="much")) == CostRecord()
    assert cost.remembered(None) == CostRecord()


@pytest.mark.parametrize(
    ("before", "now", "minutes", "worth"),
    [
        pytest.param(None, [], 0, False, id="nothing yet"),
        pytest.param(None, [one()], 0, True, id="the first machine"),
        pytest.param([one()], [one()], 1, False, id="a minute later"),
        pytest.param([one()], [one()], 2, True, id="two minutes later"),
        pytest.param([one()], [one(), one("node/b")], 0, True, id="one came"),
        pytest.param([one()], [], 0, True, id="one went"),
        pytest.param([], [], 600, False, id="nothing for hours"),
    ],
)
def test_the_record_is_written_when_something_comes_or_goes_and_now_and_then(before, now, minutes, worth):
    kept = None if before is None else look(CostRecord(), before, 10)
    new = look(kept or CostRecord(), now, 10 + minutes)

    assert cost.is_worth_keeping(kept, new, 120.0) is worth


MACHINES = st.lists(
    st.tuples(st.integers(0, 300), st.integers(1, 200), st.integers(1, 90), st.integers(0, 8)), max_size=6
)
LOOKS = st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=25)


@given(MACHINES, LOOKS)
def test_whatever_comes_and_goes_the_sum_is_never_too_small_nor_larger_than_by_the_time_nobody_looked(
    machines, looks
):
    """Machines (start, minutes, price, GPUs); looks so many minutes apart, the last status lost or not."""
    kept, now, seen, truth = CostRecord(), 0, {}, {}
    for pause, is_lost in looks:
        now += pause
        there = [
            Running(f"node/{number}", "", 1, float(price), gpus, at(start))
            for number, (start, length, price, gpus) in enumerate(machines)
            if start <= now < start + length
        ]
        seen |= {running.key: running for running in there}
        new = look(kept, there, now)
        for number, (start, length, _, _) in enumerate(machines):
            spent = max(0, min(now, start + length) - start)
            truth[f"node/{number}"] = (spent, pause if start + length <= now else 0)
        if cost.is_worth_keeping(kept, new, 120.0) or is_lost:
            kept = new

    least = sum(truth[key][0] * running.price for key, running in seen.items()) / 60
    gpu_least = sum(truth[key][0] * running.gpus for key, running in seen.items()) / 60
    # Each that was seen may have been counted on until somebody looked again.
    longest = max(pause for pause, _ in looks)
    most = least + sum(running.price for running in seen.values()) * longest / 60
    assert least - 1e-6 <= new.amount <= most + 1e-6
    assert gpu_least - 1e-6 <= new.gpu_hours
