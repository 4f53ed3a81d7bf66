"""A real recording straight from its MATLAB file: neurons that were never encoded are predicted.

The recording is not ours to ship: the test skips where `../shared/data/reach.mat` is absent.
"""

from pathlib import Path

import pytest
import yaml

from autolfads_spec import load_run
from lfads_worker.data.files import load_spikes
from lfads_worker.training.baselines import smoothing_baseline

# Half the example's population, a quarter as long. Bits per spike on validation trials, 7 % and 2.5 % below
# what seed 1 reaches: 0.293 on the held-out neurons and 0.337 on the others. Another processor's rounding may
# lead elsewhere, as another seed or size does: after 6 generations these members reach 0.287 and 0.343, after
# 12 all 8 reach 0.275 and 0.352, with seed 2 0.292 and 0.352.
MEMBERS, GENERATIONS, HELD_OUT, HELD_IN = 4, 3, 0.272, 0.328

RECORDING = Path(__file__).parents[3] / "shared" / "data" / "reach.mat"

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(
        not RECORDING.exists(), reason=f"the reach recording is wanted at {RECORDING.name} in shared/data"
    ),
]


@pytest.fixture(scope="module")
def run(example):
    smaller = {"size": MEMBERS, "generations": GENERATIONS}
    return example("reach/run.yaml", data={"uri": str(RECORDING)}, population=smaller)


@pytest.fixture(scope="module")
def valid(tmp_path_factory, autolfads, run, results_of):
    """Metrics of the validation trials."""
    folder = tmp_path_factory.mktemp("reach")
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    autolfads("run", "run.yaml", cwd=folder)
    return results_of(folder / run["spec"]["output"]["uri"]).metrics.valid


@pytest.fixture(scope="module")
def baseline(run):
    """Bits per spike of Gaussian smoothing with a Poisson regression, tuned on the evaluated trials."""
    spec = load_run(run).spec
    data = load_spikes(spec.data, spec.model.output_distribution)
    found = smoothing_baseline(
        data.spikes,
        train=data.train,
        valid=data.valid,
        held_in_neurons=data.held_in_neurons,
        bin_width_ms=data.bin_width_ms,
    )
    return found.bits_per_spike


def test_held_out_neurons_are_predicted(baseline, valid):
    inferred = valid.held_out.bits_per_spike

    print(f"held-out neurons: {inferred:.3f} bits per spike; smoothing and regression: {baseline:.3f}")
    assert inferred >= HELD_OUT
    assert inferred > baseline


def test_neurons_that_the_encoders_see_are_explained(valid):
    explained = valid.held_in.bits_per_spike

    print(f"neurons of the encoders: {explained:.4f} bits per spike")
    assert explained >= HELD_IN
