"""The value that the rest of the worker sees."""

import subprocess
import sys

import numpy as np

from lfads_worker.data.spikes import SpikeData


def test_sizes_follow_from_the_arrays():
    data = SpikeData(
        spikes=np.zeros((5, 7, 4), np.float32),
        train=np.array([1, 2, 3, 4]),
        valid=np.array([0]),
        held_in_neurons=3,
        encoded_bins=5,
        bin_width_ms=10.0,
        external_inputs=np.zeros((5, 7, 2), np.float32),
        true_rates=None,
        conditions=None,
        fingerprint="",
        source="",
    )

    assert (data.trials, data.time, data.neurons, data.n_features) == (5, 7, 4, 2)
    assert (data.held_out_neurons, data.forward_bins) == (1, 2)


def test_spikes_check_and_memory_import_no_file_reader():
    code = (
        "import sys, lfads_worker.data.spikes, lfads_worker.data.check, lfads_worker.data.memory;"
        "print([name for name in ('h5py', 'scipy', 'pydantic', 'tensorflow') if name in sys.modules])"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
