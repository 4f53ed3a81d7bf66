import tempfile

import pytest
import typer

from autolfads_spec.errors import DeniedError, SpecError
from lfads_worker.errors import (
    DataError,
    DeviceError,
    DivergedError,
    OutputError,
    PausedError,
    RecordingDeniedError,
)
from lfads_worker.failures import EXIT_CODES, told


def end_of(error, log_file=None):
    with pytest.raises(typer.Exit) as caught, told(lambda: "run it again", lambda: log_file):
        raise error
    return caught.value.exit_code


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(SpecError("a sentence"), 2, id="spec"),
        pytest.param(DataError("a sentence"), 3, id="data"),
        pytest.param(DivergedError("a sentence"), 4, id="diverged"),
        pytest.param(OutputError("a sentence"), 5, id="output"),
        pytest.param(DeviceError("a sentence"), 6, id="device"),
        pytest.param(DeniedError("a sentence"), 7, id="no role for the output"),
        pytest.param(RecordingDeniedError("a sentence"), 7, id="no role for the recording"),
        pytest.param(caused(OutputError("a sentence"), DeniedError("no role")), 7, id="no role to commit"),
    ],
)
def test_an_error_is_its_sentence_and_its_documented_code(error, code, capsys):
    assert end_of(error) == code
    assert code in EXIT_CODES
    assert capsys.readouterr().err == "error: a sentence\n"


def test_every_problem_of_a_document_is_a_line(capsys):
    end_of(SpecError("one", "two"))

    assert capsys.readouterr().err == "error: one\nerror: two\n"


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(15)], ids=["Ctrl-C", "SIGTERM under Ray"])
def test_an_interrupt_says_how_to_go_on(stop, capsys):
    assert end_of(stop) == 130
    assert capsys.readouterr().err == "interrupted: run it again\n"


def test_no_memory_says_what_to_make_smaller(capsys):
    assert end_of(MemoryError()) == 6
    assert "training.batchSize" in capsys.readouterr().err


def test_a_fault_of_the_program_is_a_sentence_and_its_traceback_is_in_the_log(tmp_path, capsys):
    log = tmp_path / "run.log"

    assert end_of(ZeroDivisionError("division by zero"), log) == 1

    said = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in said
    assert str(log) in said
    assert "Traceback" not in said
    assert "Traceback" in log.read_text()


def test_a_fault_before_there_is_a_log_gets_a_file_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    assert end_of(ValueError()) == 1

    (file,) = tmp_path.iterdir()
    assert str(file) in capsys.readouterr().err
    assert "Traceback" in file.read_text()


def test_an_exit_passes():
    assert end_of(typer.Exit(0)) == 0


def test_the_last_word_has_what_was_raised_and_what_was_said():
    said, words = [], []

    with (
        pytest.raises(typer.Exit) as caught,
        told(lambda: "", lambda: None, said.append, lambda *last: words.append(last)),
    ):
        raise SpecError("one", "two")

    (end,) = said
    assert list(end.lines()) == ["error: one", "error: two"]
    assert end.exit_code == caught.value.exit_code
    ((error, word),) = words
    assert isinstance(error, SpecError)
    assert word is end


def test_a_pause_is_no_error(capsys):
    assert end_of(PausedError("paused: go on later")) == 0
    assert capsys.readouterr().err == "paused: go on later\n"
