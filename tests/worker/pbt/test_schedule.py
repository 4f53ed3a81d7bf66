import pytest
from hypothesis import given
from hypothesis import strategies as st

from lfads_worker.pbt import schedule


def test_generation_0_holds_the_ramp_and_a_generation():
    assert [schedule.epochs_of_generation(generation, 80, 25) for generation in (0, 1, 2)] == [105, 25, 25]


@given(st.integers(0, 200), st.integers(1, 100))
def test_nobody_is_selected_before_the_ramps_end(ramp_epochs, epochs_per_generation):
    first_selection = schedule.epochs_of_generation(0, ramp_epochs, epochs_per_generation)

    assert first_selection - ramp_epochs == epochs_per_generation >= 1


@given(st.integers(0, 60), st.integers(0, 200), st.integers(1, 100))
def test_a_generation_begins_where_the_ones_before_end(generation, ramp_epochs, epochs_per_generation):
    before = sum(
        schedule.epochs_of_generation(past, ramp_epochs, epochs_per_generation) for past in range(generation)
    )

    assert schedule.first_epoch(generation, ramp_epochs, epochs_per_generation) == before


@pytest.mark.parametrize("numbers", [(-1, 80, 25), (0, -1, 25), (0, 80, 0)])
def test_impossible_numbers_are_refused(numbers):
    with pytest.raises(ValueError, match=f"found {numbers[0]}, {numbers[1]} and {numbers[2]}"):
        schedule.epochs_of_generation(*numbers)
    with pytest.raises(ValueError, match="schedule:"):
        schedule.first_epoch(*numbers)
