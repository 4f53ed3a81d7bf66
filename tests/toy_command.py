"""The command line in this process, with a toy in place of TensorFlow: `invoke`, a fixture."""

import pytest
from typer.testing import CliRunner

from lfads_worker import cli
from lfads_worker.execution import choice
from lfads_worker.execution.toy import ToyTrainer


def made_by(trainer):
    """What `cli.make_trainer` may be: trainers of this class, seeded and shaped as the run asks."""
    return lambda spec, data: trainer(spec.population.seed, data.trials, data.time, data.neurons)


@pytest.fixture
def invoke(monkeypatch, tmp_path):
    """Calls the command line in an empty folder with a toy; trains in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(cli, "make_trainer", made_by(ToyTrainer))
    monkeypatch.setattr(choice, "prepare_this_process", lambda threads: None)
    return lambda *arguments: CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
