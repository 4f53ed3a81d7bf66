import io
import json
import logging
from datetime import datetime
from pathlib import Path

from lfads_worker import log

logger = logging.getLogger("lfads_worker.anything")


def test_the_console_has_plain_words_and_marks_warnings():
    console = io.StringIO()

    with log.to_console(logging.StreamHandler(console), logging.INFO):
        logger.info("generation %d", 7)
        logger.warning("look here")

    assert console.getvalue() == "generation 7\nwarning: look here\n"


def test_what_the_store_tells_is_told_in_the_same_way(tmp_path):
    console, file = io.StringIO(), tmp_path / "autolfads.log"

    with log.to_console(logging.StreamHandler(console), logging.INFO), log.to_file(file):
        logging.getLogger("autolfads_spec.bucket").warning("no answer")

    assert console.getvalue() == "warning: no answer\n"
    assert "WARNING autolfads_spec.bucket: no answer" in file.read_text()


def test_a_quiet_console_has_warnings_only_and_the_file_everything(tmp_path):
    console, file = io.StringIO(), tmp_path / "autolfads.log"

    with log.to_console(logging.StreamHandler(console), logging.WARNING), log.to_file(file):
        logger.info("generation 7")

    assert console.getvalue() == ""
    assert "INFO lfads_worker.anything: generation 7" in file.read_text()


def test_logging_is_afterwards_as_it_was_before(tmp_path):
    def how():
        return [(one.level, one.propagate, list(one.handlers)) for one in log.LOGGERS]

    before = how()

    with log.to_console(logging.StreamHandler(io.StringIO()), logging.INFO), log.to_file(tmp_path / "log"):
        pass

    assert how() == before


def test_a_full_disk_costs_lines_and_nothing_else(capsys):
    with log.to_file(Path("/dev/full")):
        logging.getLogger("lfads_worker").info("a line")

    assert capsys.readouterr().err == ""


def test_a_collector_gets_an_object_a_line_with_what_it_is_about():
    console, about = io.StringIO(), {"run": "toy", "attempt": 2, "generation": None}
    handler = logging.StreamHandler(console)
    handler.setFormatter(log.JsonLines(lambda: about))

    with log.to_console(handler, logging.INFO):
        logger.info("µ: %d\nlines", 2)
        about["generation"] = 7
        logger.warning("look here")

    first, second = (json.loads(line) for line in console.getvalue().splitlines())
    assert (first["message"], first["severity"], first["logger"]) == (
        "µ: 2\nlines",
        "INFO",
        "lfads_worker.anything",
    )
    assert (first["run"], first["attempt"]) == ("toy", 2)
    assert "generation" not in first
    assert (second["severity"], second["generation"]) == ("WARNING", 7)
    assert datetime.fromisoformat(first["time"]).utcoffset().total_seconds() == 0
