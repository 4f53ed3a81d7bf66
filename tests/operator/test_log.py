"""Lines of the log, as a collector reads them."""

import io
import json
import logging
import threading

import pytest

from autolfads_operator import log


@pytest.fixture
def lines():
    """The lines logged so far, parsed."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    log.start("INFO", "json", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.captureWarnings(False)
    root.handlers[:], root.level = before[0], before[1]


def test_a_line_is_one_json_object_with_time_and_severity(lines):
    logging.getLogger("a").warning("two\nlines, and %s", "Größe")

    (line,) = lines()
    assert line["severity"] == "WARNING"
    assert line["message"] == "two\nlines, and Größe"
    assert line["time"].endswith("Z")


def test_lines_within_are_about_the_run_and_lines_after_are_not(lines):
    with log.about(run="lab/reach", uid="u1"):
        with log.about(attempt=2, generation=None):
            logging.getLogger("a").info("in")
        logging.getLogger("a").info("between")
    logging.getLogger("a").info("out")

    within, between, after = lines()
    assert {key: within[key] for key in ("run", "uid", "attempt")} == {
        "run": "lab/reach",
        "uid": "u1",
        "attempt": 2,
    }
    assert "generation" not in within
    assert "attempt" not in between
    assert between["uid"] == "u1"
    assert "run" not in after


def test_another_thread_is_not_about_the_same_run(lines):
    with log.about(run="lab/reach"):
        thread = threading.Thread(target=logging.getLogger("a").info, args=("elsewhere",))
        thread.start()
        thread.join()

    assert "run" not in lines()[0]


def test_an_error_is_told_with_its_kind_and_traceback(lines):
    try:
        raise KeyError("x")
    except KeyError:
        logging.getLogger("a").exception("failed")

    (line,) = lines()
    assert line["error"] == "KeyError"
    assert "test_log.py" in line["traceback"]


def test_lines_of_kopf_are_about_their_object(lines):
    reference = {"namespace": "lab", "name": "reach", "uid": "u1"}
    logging.getLogger("a").info("seen", extra={"k8s_ref": reference})

    assert (lines()[0]["run"], lines()[0]["uid"]) == ("lab/reach", "u1")


def test_a_huge_message_is_cut(lines):
    logging.getLogger("a").info("x" * 100_000)

    assert len(lines()[0]["message"]) == log.LONGEST_MESSAGE


def test_kopf_tells_of_an_outage_once_and_calls_it_a_warning(lines):
    kopf = logging.getLogger("kopf._cogs.clients.watching")
    for attempt in range(1, 20):
        kopf.error("Request attempt #%d failed; will retry: GET /x -> refused", attempt)
    kopf.error("Request attempt #9/9 failed; escalating: GET /x -> refused")

    first, last = lines()
    assert (first["severity"], last["severity"]) == ("WARNING", "ERROR")
    assert "#1 " in first["message"]
