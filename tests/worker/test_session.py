import json

import pytest

from autolfads_spec.attempt import EndClass
from autolfads_spec.errors import UnavailableError
from lfads_worker.attempt import Attempt
from lfads_worker.errors import DataError, FencedError
from lfads_worker.failures import End
from lfads_worker.session import LogFormat, Session

END = End("error", "a sentence", 3)


class Recorded(Attempt):
    number = 4

    def __init__(self):
        self.ends = []

    def end(self, end, message, epoch):
        self.ends.append((end, message, epoch))


class Unreachable(Attempt):
    def end(self, end, message, epoch):
        raise UnavailableError("no answer")


def test_the_operator_is_told_what_the_user_is_told():
    attempt = Recorded()

    Session("autolfads run x", attempt=attempt).last_word(DataError("a sentence"), END)

    assert attempt.ends == [(EndClass.BAD_INPUT, "a sentence", None)]


def test_a_superseded_driver_tells_the_operator_nothing():
    attempt = Recorded()

    Session("autolfads run x", attempt=attempt).last_word(FencedError("taken over"), END)

    assert attempt.ends == []


def test_an_operator_that_cannot_be_told_is_said_and_no_second_error(capsys):
    Session("autolfads run x", attempt=Unreachable()).last_word(DataError("a sentence"), END)

    assert capsys.readouterr().err == "error: the operator could not be told: no answer\n"


@pytest.mark.parametrize("exit_code", [0, 3])
def test_how_it_ended_is_a_line_of_the_format_that_was_asked_for(capsys, exit_code):
    session = Session("x", log_format=LogFormat.JSON, run="toy", attempt=Recorded())

    session.say(END._replace(exit_code=exit_code))

    line = json.loads(capsys.readouterr().err)
    assert (line["message"], line["run"], line["attempt"]) == ("a sentence", "toy", 4)
    assert line["severity"] == ("ERROR" if exit_code else "INFO")


@pytest.mark.parametrize(
    ("options", "shown"), [({}, "a line\n"), ({"quiet": True}, ""), ({"log_format": LogFormat.JSON}, "")]
)
def test_summaries_are_for_people(capsys, options, shown):
    Session("x", **options).show(["a line"])

    assert capsys.readouterr().out == shown
