import shutil
import subprocess

import numpy as np
import pytest
from scipy import io

from lfads_worker.results import rates_matlab
from lfads_worker.results.quantities import all_quantities


@pytest.fixture
def matlab_file(tmp_path, recording, posterior, provenance):
    path = tmp_path / "rates.mat"
    quantities = all_quantities(recording, posterior, "Poisson")
    rates_matlab.write(path, quantities, recording, provenance, posterior.samples)
    return path


def octave(script, folder):
    """What Octave prints, as lines."""
    program = shutil.which("octave-cli")
    if program is None:
        pytest.fail(
            "octave-cli is wanted to read rates.mat as MATLAB would; none was found on PATH; "
            "install the package octave (on Debian: apt-get install --no-install-recommends octave)"
        )
    ran = subprocess.run(
        [program, "--norc", "--quiet", "--no-history", "--eval", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_octave_opens_it_the_right_way_round(matlab_file, recording, posterior):
    script = """
        load('rates.mat');
        printf('%d ', size(rates), size(factors), size(initial_states), size(conditions)); disp('');
        printf('%.9g ', rates(2, 3, 6), rates_hz(5, 1, 10), factors(3, 6, 1), initial_states(7, 4)); disp('');
        printf('%.9g ', spikes(1, 2, 3), true_rates(4, 5, 6)); disp('');
        printf('%d ', valid_trials, numel(train_trials), conditions(3)); disp('');
        printf('%s|', class(rates), axes.rates, units.rates_hz, run.name, run.data_fingerprint); disp('');
        printf('%.9g ', bin_width_ms, time_ms(2), run.hyperparameters.learning_rate, run.seed); disp('');
        printf('%.9g ', mean(rates(:, :, valid_trials(2))(:)));
    """

    found = octave(script, matlab_file.parent)

    rates, factors, initial_states, conditions = [5, 6, 10], [3, 6, 10], [7, 10], [10, 1]
    sizes = [int(number) for number in found[0].split()]
    assert sizes == [*rates, *factors, *initial_states, *conditions]
    assert [float(number) for number in found[1].split()] == pytest.approx(
        [
            posterior.rates[5, 2, 1],
            posterior.rates[9, 0, 4] * 50,
            posterior.factors[0, 5, 2],
            posterior.initial_states[3, 6],
        ],
        rel=1e-6,
    )
    assert [float(number) for number in found[2].split()] == pytest.approx(
        [recording.spikes[2, 1, 0], recording.true_rates[5, 4, 3]], rel=1e-6
    )
    assert found[3].split() == ["1", "6", "8", str(recording.conditions[2])]  # trials 0 and 5, counted from 1
    assert found[4].split("|")[:5] == [
        "single",
        "neurons x time x trials",
        "spikes per second",
        "demo",
        "ab" * 32,
    ]
    assert [float(number) for number in found[5].split()] == [20, 20, 0.004, 7]
    assert float(found[6]) == pytest.approx(posterior.rates[5].mean(), rel=1e-6)


def test_scipy_reads_neurons_time_trials(matlab_file, posterior):
    found = io.loadmat(matlab_file)

    np.testing.assert_array_equal(found["rates"], posterior.rates.transpose(2, 1, 0))
    np.testing.assert_array_equal(found["ic_mean"], posterior.ic_mean.T)


def test_a_model_without_controller_is_written_too(tmp_path, recording, posterior, provenance):
    without = posterior._replace(inferred_inputs=posterior.inferred_inputs[..., :0])
    quantities = all_quantities(recording, without, "Poisson")

    rates_matlab.write(tmp_path / "rates.mat", quantities, recording, provenance, 50)

    assert io.loadmat(tmp_path / "rates.mat")["inferred_inputs"].shape == (0, 6, 10)


def test_what_is_too_large_for_the_format_is_left_out_and_named(
    tmp_path, recording, posterior, provenance, monkeypatch
):
    monkeypatch.setattr(rates_matlab, "LARGEST_VARIABLE_BYTES", posterior.rates.nbytes)
    quantities = all_quantities(recording, posterior, "Poisson")

    rates_matlab.write(tmp_path / "rates.mat", quantities, recording, provenance, 50)

    assert rates_matlab.too_large(quantities) == ["generator_states", "generator_states_std"]
    found = io.loadmat(tmp_path / "rates.mat")
    assert "rates" in found
    assert "generator_states" not in found
