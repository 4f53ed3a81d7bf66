"""Documents name tests that exist."""

import re

import pytest

from kube.cluster import ROOT

NAMED = re.compile(r"`((?:tests/[\w/]+\.py)?)::(test_\w+)(?:\[(\w+)\])?`")


def named():
    """(file, test, subtest) of every test that the page names; a name without its file is in the last one."""
    last, found = "", []
    for file, test, subtest in NAMED.findall((ROOT / "docs/faults.md").read_text()):
        last = file or last
        found.append((last, test, subtest))
    return found


@pytest.mark.parametrize(("file", "test", "subtest"), named())
def test_the_page_of_faults_names_a_test_that_exists(file, test, subtest):
    text = (ROOT / file).read_text()

    assert f"def {test}(" in text
    assert not subtest or re.search(rf"\b{subtest}\b", text)


@pytest.mark.parametrize(
    "page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda page: page.name
)
def test_every_path_of_tests_that_a_page_names_is_there(page):
    named = re.findall(r"`(tests/[\w./-]+?)(?:::|`|\*)", page.read_text())

    assert [path for path in named if not (ROOT / path).exists() and not list(ROOT.glob(f"{path}*"))] == []


def test_every_fault_of_the_design_has_a_row():
    page = (ROOT / "docs/faults.md").read_text()

    assert [int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == [*range(1, 33)]
