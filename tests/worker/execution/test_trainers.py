import pickle

import pytest

from lfads_worker.errors import DeviceError
from lfads_worker.execution.toy import ToyTrainer
from lfads_worker.execution.trainers import PlainSpoken
from lfads_worker.training.state import CohortTask

TASK = CohortTask(
    0, 0, 0, 1, (0, 1, 2), None, ({"learning_rate": 0.1, "dropout_rate": 0, "l2_generator": 0},) * 3
)


def raising(error):
    class Raising(ToyTrainer):
        def train_generation(self, task, progress=None):
            raise error

        def posterior_averages(self, state, row, samples):
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
