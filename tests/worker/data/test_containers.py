"""What every file format shares: names, descriptions, refusals."""

import numpy as np
import pytest

from lfads_worker.data.containers import Cell, Container, Struct, as_numbers, describe, one_number, sizes
from lfads_worker.errors import DataError


def container(**values):
    listing = {name: describe(value) for name, value in values.items()}
    return Container(
        "a test file", matlab_axes=False, listing=listing, read=values.__getitem__, attributes={"dt": 5}
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros((61, 400, 210), np.uint8), "61 x 400 x 210 uint8"),
        (np.float64(3), "one value, float64"),
        (np.zeros(3, complex), "3 complex numbers"),
        ("abc", "text"),
        (Struct(({}, {})), "a struct array of 2"),
        (Cell(()), "a cell array of 0"),
    ],
)
def test_values_are_described_in_words(value, words):
    assert describe(value) == words


def test_what_a_file_holds_is_cut_short_when_it_is_much():
    values = {f"v{i}": np.zeros(2) for i in range(20)}

    assert container(**values).holds().endswith("v11 (2 float64) and 8 more")
    assert container().holds() == "it holds nothing"


def test_scalars_come_from_variables_or_attributes():
    assert container(width=np.array([[10.0]])).scalar("binWidth", "width") == 10
    assert container().scalar("dt") == 5
    assert container().scalar("width") is None


@pytest.mark.parametrize("found", [np.zeros(2), np.array([]), "ten"])
def test_a_scalar_that_is_none_is_refused(found):
    with pytest.raises(DataError, match="width: one number is wanted"):
        one_number("width", found)


@pytest.mark.parametrize("value", ["text", Cell(()), Struct(()), np.array(["a"]), np.array([1j])])
def test_what_is_not_numbers_is_refused(value):
    with pytest.raises(DataError, match="x: an array of numbers is wanted"):
        as_numbers("x", value)


def test_sizes_are_written_like_matlab_prints_them():
    assert sizes((61, 400, 210)) == "61 x 400 x 210"
