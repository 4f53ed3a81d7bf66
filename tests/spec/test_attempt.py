import pytest
from pydantic import ValidationError

from autolfads_spec import RunPaths
from autolfads_spec.attempt import AttemptEnd, EndClass, Wish

END = AttemptEnd(
    attempt=2,
    driver_epoch=3,
    end_class=EndClass.DIVERGED,
    message="wanted this, found that; do something else",
    generation=None,
    ended_at="2030-01-31T18:00:00+00:00",
)


@pytest.mark.parametrize("document", [Wish(attempt=1, pause=True, why="suspended"), END], ids=["wish", "end"])
def test_what_is_written_is_read_back(document):
    assert type(document).model_validate_json(document.to_bytes()) == document


def test_a_wish_wants_nothing_unless_it_says_so():
    assert not Wish(attempt=1).pause
    assert not Wish(attempt=1).finish


def test_what_may_have_passed_without_a_change_of_the_run_is_worth_another_attempt():
    assert {end.value for end in EndClass if end.is_worth_another_attempt} == {
        "device-not-ready",
        "store-unavailable",
        "input-denied",
        "denied",
        "interrupted",
        "internal",
    }


def test_fields_of_a_later_version_are_ignored():
    content = END.to_bytes().replace(b"{", b'{"colour": "blue",', 1)

    assert AttemptEnd.model_validate_json(content) == END


@pytest.mark.parametrize("change", [(b"diverged", b"bored"), (b"attempt end 1", b"attempt end 9")])
def test_an_unknown_end_or_format_is_refused(change):
    with pytest.raises(ValidationError):
        AttemptEnd.model_validate_json(END.to_bytes().replace(*change))


def test_attempts_are_counted_from_one():
    with pytest.raises(ValidationError):
        Wish(attempt=0)


def test_each_attempt_has_an_end_of_its_own_in_the_order_of_their_names():
    paths = RunPaths("gs://lab/run")

    assert paths.wish == "gs://lab/run/wish.json"
    names = [paths.attempt_end(number) for number in (2, 10)]
    assert names == ["gs://lab/run/attempts/02/end.json", "gs://lab/run/attempts/10/end.json"]
    assert names == sorted(names)
