"""Which layout a file has."""

import numpy as np
import pytest

from autolfads_spec.data import DataSpec
from lfads_worker.data.containers import Container, describe
from lfads_worker.data.layouts import read_recording
from lfads_worker.errors import DataError


def read(names, **data):
    values = {name: np.ones((4, 5, 3), np.uint8) for name in names}
    listing = {name: describe(value) for name, value in values.items()}
    container = Container("an HDF5 file", False, listing, values.__getitem__)
    return read_recording(container, DataSpec(uri="a.h5", **data))


@pytest.mark.parametrize(
    ("names", "data", "expected"),
    [
        (["spikes"], {}, "spikes"),
        (["counts"], {"variable": "counts"}, "counts"),
        (["train_data", "valid_data"], {}, "train_data"),
        (["train_data", "valid_data"], {"format": "NLB"}, "train_data"),
        (["train_data", "valid_data", "spikes"], {"variable": "spikes"}, "spikes"),
        (["train_data", "valid_data", "spikes"], {"format": "LFADS"}, "train_data"),
        (["train_data"], {"variable": "train_data"}, "train_data"),
        (["train_spikes_heldin"], {}, "train_spikes_heldin"),
        (["train_spikes_heldin", "train_data"], {"format": "NLB"}, "train_spikes_heldin"),
        (
            ["train_encod_data", "train_recon_data", "valid_encod_data", "valid_recon_data"],
            {},
            "train_recon_data",
        ),
    ],
)
def test_the_layout_follows_from_names_and_run_yaml(names, data, expected):
    assert read(names, **data).name == expected


def test_two_recordings_in_one_file_are_refused_until_run_yaml_chooses():
    with pytest.raises(DataError, match="the LFADS layout and the variable spikes were found"):
        read(["train_data", "valid_data", "spikes"])


@pytest.mark.parametrize(
    ("layout", "missing"),
    [("LFADS", "train_data, valid_data"), ("LFADSTorch", "train_encod_data"), ("NLB", "heldin")],
)
def test_a_layout_that_the_file_lacks_is_refused(layout, missing):
    with pytest.raises(DataError, match=f"{missing}.*it holds spikes"):
        read(["spikes"], format=layout)


def test_a_variable_beside_a_layout_is_refused():
    with pytest.raises(
        DataError, match=r"data\.variable: nothing is wanted beside data\.format LFADS, spikes was"
    ):
        read(["spikes", "train_data", "valid_data"], format="LFADS", variable="spikes")
