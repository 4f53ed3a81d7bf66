import pickle
import sys
from types import SimpleNamespace

import pytest

from lfads_worker import training
from lfads_worker.errors import DeviceError
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.execution.trainers import OnProvenGPU, PlainSpoken, TensorFlowTrainer
from lfads_worker.training.state import CohortTask

TASK = CohortTask(
    0, 0, 0, 1, (0, 1, 2), None, ({"learning_rate": 0.1, "dropout_rate": 0, "l2_generator": 0},) * 3
)


def raising(error):
    class Raising(ToyTrainer):
        def train_generation(self, task, progress=None):
            raise error

        def posterior_averages(self, state, row, samples, progress=None):
            raise error

    return PlainSpoken(Raising())


def tensorflow_error(name, message):
    """As TensorFlow's, without loading it."""
    kind = type(name, (Exception,), {"__module__": "tensorflow.python.framework.errors_impl"})
    return kind(message)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(tensorflow_error("ResourceExhaustedError", "OOM when allocating"), id="tensorflow"),
        pytest.param(
            tensorflow_error("InternalError", "RESOURCE_EXHAUSTED: Out of memory while trying"), id="xla"
        ),
        pytest.param(MemoryError(), id="host"),
    ],
)
def test_a_full_device_is_a_sentence_that_names_the_field(error):
    with pytest.raises(DeviceError, match=r"compute\.membersPerCohort: wanted a cohort of 3 members") as told:
        raising(error).train_generation(TASK)
    assert told.value.__cause__ is None
    assert isinstance(pickle.loads(pickle.dumps(told.value)), DeviceError)

    with pytest.raises(DeviceError, match="wanted 7 posterior samples of a member to fit on one device"):
        raising(error).posterior_averages(None, 0, 7)


def test_other_errors_stay_what_they_are():
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError()).train_generation(TASK)


def test_otherwise_it_is_the_trainer():
    toy = ToyTrainer(seed=3)

    assert PlainSpoken(toy).train_generation(TASK).state.equals(toy.train_generation(TASK).state)
    assert PlainSpoken(toy).parameter_names_and_shapes() == toy.parameter_names_and_shapes()


def test_tensorflows_own_error_is_recognised():
    tensorflow = pytest.importorskip("tensorflow")
    error = tensorflow.errors.ResourceExhaustedError(None, None, "OOM")

    with pytest.raises(DeviceError):
        raising(error).train_generation(TASK)


def test_what_tensorflow_prints_while_it_is_loaded_is_not_heard(tmp_path, monkeypatch, capfd):
    module = "lfads_worker.training.trainer"
    (tmp_path / "trainer.py").write_text(
        "import os\nos.write(2, b'greetings')\ndef CohortTrainer(*run): os.write(2, b'work')\n"
    )
    monkeypatch.setattr(training, "__path__", [str(tmp_path)])
    monkeypatch.setattr(training, "trainer", None, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    del sys.modules[module]

    TensorFlowTrainer(None, None)(1)

    assert capfd.readouterr().err == "work"


@pytest.mark.parametrize("found", [[], ["GPU:0"]], ids=["no GPU", "a GPU"])
def test_a_worker_proves_that_it_sees_a_gpu_before_it_makes_a_trainer(monkeypatch, found):
    config = SimpleNamespace(list_physical_devices=lambda kind: found if kind == "GPU" else ["CPU:0"])
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(config=config))
    toy = ToyTrainer()

    if found:
        assert OnProvenGPU(toy)(None) is toy
        return
    with pytest.raises(DeviceError, match=r"wanted a GPU for each worker, found that TensorFlow sees none"):
        OnProvenGPU(toy)(None)


@pytest.mark.parametrize(("threads", "told"), [(None, [False]), (1, [])], ids=["GPU", "CPU"])
def test_gpus_multiply_in_float32_before_anything_is_compiled(monkeypatch, threads, told):
    switched = []

    def make(*arguments):
        assert switched == told
        return ToyTrainer()

    experimental = SimpleNamespace(enable_tensor_float_32_execution=switched.append)
    tensorflow = SimpleNamespace(config=SimpleNamespace(experimental=experimental))
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)
    module = SimpleNamespace(CohortTrainer=make)
    monkeypatch.setitem(sys.modules, "lfads_worker.training.trainer", module)

    TensorFlowTrainer(None, None)(threads)

    assert switched == told
