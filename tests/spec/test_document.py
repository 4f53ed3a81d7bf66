import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from autolfads_spec import SpecError, document

TRICKY = [
    "1e-5",
    "yes",
    "null",
    "1:30",
    "0x1f",
    "2030-01-31",
    "~",
    "",
    "- a",
    "a: b",
    "1_000",
    "007",
    ".inf",
    "=",
    "<<",
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(TRICKY)
    | st.text()
)
contents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@given(st.dictionaries(st.text(min_size=1), contents, min_size=1, max_size=4))
def test_what_is_dumped_is_read_back(content):
    assert document.parse(document.dump(content), "x").content == content


@pytest.mark.parametrize("text", TRICKY)
def test_text_that_looks_like_something_else_stays_text_for_every_reader(text):
    dumped = document.dump({"a": text})

    assert document.parse(dumped, "x").content == {"a": text}
    assert yaml.safe_load(dumped) == {"a": text}


def test_lines_are_those_of_the_keys():
    lines = document.parse("a:\n  b: 1\n  c:\n  - d\n  - e: 2\n", "x").lines

    assert lines[("a",)] == 1
    assert lines[("a", "b")] == 2
    assert lines[("a", "c", 0)] == 4
    assert lines[("a", "c", 1, "e")] == 5


def test_numbers_of_yaml_one_point_two():
    parsed = document.parse("a: 1e3\nb: -1.5E-2\nc: .5\nd: 12\ne: 1:30\nf: .inf\ng: +3\n", "x")

    assert parsed.content == {
        "a": 1000.0,
        "b": -0.015,
        "c": 0.5,
        "d": 12,
        "e": "1:30",
        "f": float("inf"),
        "g": 3,
    }
    assert isinstance(parsed.content["d"], int)


def test_an_alias_is_the_value_it_stands_for():
    assert document.parse("a: &x [1, 2]\nb: *x\n", "x").content == {"a": [1, 2], "b": [1, 2]}


def test_aliases_that_multiply_are_refused():
    text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(
        f"{n}: &{n} [{', '.join([f'*{m}'] * 10)}]\n" for m, n in zip("abcde", "bcdef", strict=True)
    )

    with pytest.raises(SpecError, match="endless"):
        document.parse(text, "x")
