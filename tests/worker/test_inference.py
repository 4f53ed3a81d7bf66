"""`autolfads infer` without TensorFlow: what is read, what is refused, what is written."""

import json

import h5py
import numpy as np
import pytest
from scipy import io

from autolfads_spec import RunPaths, dump_run
from lfads_worker import inference
from lfads_worker.data.files import load_spikes
from lfads_worker.errors import DataError, MemoryFullError, OutputError
from lfads_worker.results.files import write_json, write_text
from lfads_worker.results.output import in_folder
from lfads_worker.results.weights import write_weights
from lfads_worker.training.averages import PosteriorAverages

NEURONS, BINS, MEMBER = 4, 6, 3


def write_recording(path, trials=10, bins=BINS, neurons=NEURONS, width=20.0, seed=0, **arrays):
    spikes = np.random.default_rng(seed).poisson(1.0, (trials, bins, neurons)).astype(np.uint8)
    np.savez(path, spikes=spikes, binWidthMs=width, **arrays)
    return str(path)


@pytest.fixture
def trained(tmp_path, make_run):
    """The folder of a finished run, as far as inference looks at it."""

    def make(**blocks):
        recording = write_recording(tmp_path / "data.npz")
        layout = {"layout": "TrialsTimeNeurons"}
        run = make_run(
            data={"uri": recording, **layout, **blocks.pop("data", {})},
            output={"uri": str(tmp_path / "out"), "posteriorSamples": 7, **blocks.pop("output", {})},
            **blocks,
        )
        data = load_spikes(run.spec.data, run.spec.model.output_distribution)
        paths = RunPaths(str(tmp_path / "out"))
        settings = {
            **{"seed": 1, "generation": 2, "member": MEMBER, "score": 0.5, "code_version": "0.1.0"},
            "hyperparameters": {"learning_rate": 0.004},
            "recording": {
                "bins": data.time,
                "encoded_bins": data.encoded_bins,
                "neurons": data.neurons,
                "held_in_neurons": data.held_in_neurons,
                "external_inputs": data.n_features,
                "bin_width_ms": data.bin_width_ms,
            },
        }
        from pathlib import Path

        files = {
            "run.yaml": write_text(Path(paths.run_yaml), dump_run(run)),
            "best/settings.json": write_json(Path(paths.best_settings), settings),
            "best/weights.npz": write_weights(
                Path(paths.best_weights), {"readout/bias": np.ones(NEURONS, np.float32)}
            ),
        }
        write_json(Path(paths.results), {"files": {name: record._asdict() for name, record in files.items()}})
        return tmp_path / "out"

    return make


def stub(trained, data, samples):
    """Rates are the spikes and the number of samples, so that every way through shows."""

    def latent(width):
        return np.zeros((data.trials, data.time, width), np.float32)

    once = np.ones((data.trials, 2), np.float32)
    return PosteriorAverages(
        rates=data.spikes + samples,
        rates_std=latent(data.neurons),
        **{
            name: latent(3) for name in ("factors", "factors_std", "generator_states", "generator_states_std")
        },
        **{name: latent(0) for name in ("inferred_inputs", "inferred_inputs_std", "generator_inputs")},
        **{name: latent(0) for name in ("controller_states", "co_means", "co_stds")},
        **{name: once for name in ("ic_mean", "ic_std", "initial_states", "initial_states_std")},
        samples=samples,
    )


def apply(root, *rest, **options):
    return inference.apply(in_folder(root), *rest, **options)


def test_new_trials_come_out_under_the_names_of_the_runs_own_rates(trained, tmp_path):
    recording = write_recording(tmp_path / "monday.npz", trials=3, seed=1)

    new = apply(trained(), recording, stub)

    assert new.files == tuple(str(tmp_path / f"out/inferred/monday.{ending}") for ending in ("h5", "mat"))
    with h5py.File(new.files[0]) as file:
        np.testing.assert_array_equal(file["rates"][:], file["spikes"][:] + 7)
        assert file["rates_hz"].shape == (3, BINS, NEURONS)
        assert file["valid_rates"].shape == (3, BINS, NEURONS)
        assert file["train_rates"].shape == (0, BINS, NEURONS)
        assert file.attrs["member"] == MEMBER
        assert file.attrs["data_source"] == recording
    assert io.loadmat(new.files[1])["rates"].shape == (NEURONS, BINS, 3)


def test_a_single_trial_is_enough(trained, tmp_path):
    new = apply(trained(), write_recording(tmp_path / "one.npz", trials=1), stub)

    assert new.data.trials == 1
    assert new.metrics["held_in"]["bits_per_spike"] is not None


def test_samples_and_file_can_be_chosen(trained, tmp_path):
    recording = write_recording(tmp_path / "new.npz")

    new = apply(trained(), recording, stub, str(tmp_path / "here.h5"), samples=0)

    with h5py.File(tmp_path / "here.h5") as file:
        assert file.attrs["posterior_samples"] == 0
    assert new.files[1] == str(tmp_path / "here.mat")


def test_no_matlab_file_where_the_run_has_none(trained, tmp_path):
    root = trained(output={"formats": ["HDF5"]})

    assert len(apply(root, write_recording(tmp_path / "new.npz"), stub).files) == 1


def test_the_recording_is_read_with_the_settings_of_the_run(trained, tmp_path):
    root = trained(data={"rebinMs": 40, "heldOutNeurons": 1, "forwardBins": 1})

    new = apply(root, write_recording(tmp_path / "new.npz"), stub)

    assert new.data.time == BINS // 2
    assert new.data.held_in_neurons == NEURONS - 1
    assert new.data.encoded_bins == BINS // 2 - 1


def test_the_fingerprint_of_the_runs_own_recording_is_not_asked_of_a_new_one(trained, tmp_path):
    import hashlib

    write_recording(tmp_path / "data.npz")
    own = hashlib.sha256((tmp_path / "data.npz").read_bytes()).hexdigest()
    root = trained(data={"sha256": own})

    assert apply(root, write_recording(tmp_path / "new.npz", seed=2), stub).data.trials == 10


@pytest.mark.parametrize(
    ("recording", "sentence"),
    [
        pytest.param(
            {"neurons": 5}, "the 4 neurons that the model was trained on are wanted, 5", id="neurons"
        ),
        pytest.param({"bins": 7}, "trials of 6 bins are wanted, .* 7 were found; cut", id="bins"),
        pytest.param({"width": 10.0}, "bins of 20 ms are wanted, .* 10 ms were found", id="bin width"),
    ],
)
def test_a_recording_that_does_not_fit_is_refused(trained, tmp_path, recording, sentence):
    path = write_recording(tmp_path / "new.npz", **recording)

    with pytest.raises(DataError, match=sentence):
        apply(trained(), path, stub)
    assert not (tmp_path / "out" / "inferred").exists()


def test_every_misfit_is_told_once(trained, tmp_path):
    path = write_recording(tmp_path / "new.npz", bins=7, neurons=5)

    with pytest.raises(DataError) as caught:
        apply(trained(), path, stub)
    assert len(str(caught.value).splitlines()) == 2


def test_a_recording_that_cannot_be_read_tells_which_settings_it_was_read_with(trained, tmp_path):
    root = trained()

    with pytest.raises(
        DataError, match=r"nothing was found at .* \(read with the data settings of .*run\.yaml"
    ):
        apply(root, str(tmp_path / "nowhere.npz"), stub)


def test_a_file_that_is_there_is_not_replaced_unasked(trained, tmp_path):
    root, recording = trained(), write_recording(tmp_path / "new.npz")
    (tmp_path / "kept.mat").write_text("kept")

    with pytest.raises(OutputError, match=r"a new file is wanted, .*kept\.mat found there"):
        apply(root, recording, stub, str(tmp_path / "kept.h5"))
    apply(root, recording, stub, str(tmp_path / "kept.h5"), overwrite=True)

    assert (tmp_path / "kept.mat").read_bytes()[:6] == b"MATLAB"


def test_the_name_of_the_file_must_be_one_of_hdf5(trained, tmp_path):
    with pytest.raises(OutputError, match=r"HDF5 file is wanted \(\.h5\)"):
        apply(trained(), write_recording(tmp_path / "new.npz"), stub, str(tmp_path / "rates.mat"))


def test_an_unfinished_run_is_refused(trained, tmp_path):
    root = trained()
    (root / "results.json").unlink()

    with pytest.raises(OutputError, match="finished run is wanted"):
        apply(root, write_recording(tmp_path / "new.npz"), stub)


@pytest.mark.parametrize("name", ["run.yaml", "best/settings.json", "best/weights.npz"])
def test_a_file_changed_since_is_refused(trained, tmp_path, name):
    root = trained()
    path = root / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))

    with pytest.raises(OutputError, match=f"{name} is not the file that results.json describes"):
        apply(root, write_recording(tmp_path / "new.npz"), stub)


def test_weights_of_another_model_are_refused_with_the_versions(trained, tmp_path, monkeypatch):
    import lfads_worker.execution.environment as environment
    import lfads_worker.training.inference as program

    def refuse(*arguments):
        raise ValueError("weights of the model wanted, readout/bias differ in shape")

    monkeypatch.setattr(program, "infer", refuse)
    monkeypatch.setattr(environment, "prepare_this_process", lambda threads: None)

    with pytest.raises(OutputError, match=r"autolfads 0\.1\.0 .*readout/bias.* use the version"):
        apply(trained(), write_recording(tmp_path / "new.npz"), inference.with_tensorflow)


def test_a_full_device_is_a_sentence_that_names_what_helps(trained, tmp_path, monkeypatch):
    import lfads_worker.execution.environment as environment
    import lfads_worker.training.inference as program

    def fill(*arguments):
        raise MemoryError

    monkeypatch.setattr(program, "infer", fill)
    monkeypatch.setattr(environment, "prepare_this_process", lambda threads: None)

    with pytest.raises(
        MemoryFullError, match=r"RECORDING: wanted its 10 trials .* memory full; .*CUDA_VISIBLE_DEVICES=-1"
    ):
        apply(trained(), write_recording(tmp_path / "new.npz"), inference.with_tensorflow)


def test_the_settings_file_is_strict_json(trained):
    json.loads((trained() / "best" / "settings.json").read_text())
