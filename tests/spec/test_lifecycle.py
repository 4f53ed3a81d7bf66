import pytest

from autolfads_spec.lifecycle import ResumeSpec, ScheduleSpec, seconds


@pytest.mark.parametrize(
    ("duration", "expected"), [("90s", 90), ("45m", 2700), ("24h", 86400), ("1h30m", 5400), ("1h1m1s", 3661)]
)
def test_a_duration_has_its_seconds(duration, expected):
    assert seconds(duration) == expected


@pytest.mark.parametrize("duration", ["", "1 day", "1.5h", "30m1h", "h", "-1h"])
def test_what_is_no_duration_is_refused(duration):
    with pytest.raises(ValueError, match="wanted a duration such as"):
        seconds(duration)


def test_durations_are_compared_by_length_not_by_letters():
    assert ScheduleSpec(deadline="2h", provisioning_timeout="90m").deadline == "2h"


def test_from_is_from_run_in_python():
    assert ResumeSpec(from_run="earlier").model_dump(by_alias=True)["from"] == "earlier"
