import base64
import dataclasses
import re
from html.parser import HTMLParser

import pytest

from autolfads_spec.cost import CostRecord
from lfads_worker.report import folder
from lfads_worker.report.diagnosis import diagnose
from lfads_worker.report.findings import Finding
from lfads_worker.report.page import PageFigure, render
from lfads_worker.results.output import in_folder


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def page(reported):
    return (reported / "report" / "report.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_from_outside(page):
    tags = Tags(page).found

    assert not [tag for tag, _ in tags if tag in ("script", "link", "iframe")]
    assert all(attrs["src"].startswith("data:image/png;base64,") for tag, attrs in tags if tag == "img")
    assert all(attrs["href"].startswith("#") for tag, attrs in tags if tag == "a")
    assert "url(" not in page
    assert "@import" not in page


def test_links_lead_to_sections_of_the_page(page):
    tags = Tags(page).found

    targets = {attrs.get("id") for _, attrs in tags}
    assert {attrs["href"][1:] for tag, attrs in tags if tag == "a"} <= targets


def test_the_images_are_the_pngs_beside_it(page, reported):
    images = {base64.b64decode(found) for found in re.findall(r"base64,([^\"]+)", page)}

    assert images == {path.read_bytes() for path in (reported / "report").glob("*.png")}
    assert len(images) == 6


def test_the_page_has_what_a_reader_looks_for(page):
    for words in (
        *("Diagnosis", "Members diverged", "Single trials", "What the search tried", "data check"),
        *("klInitialCondition", "python 3.", "apiVersion: autolfads.dev", "bits per spike", "silent neurons"),
    ):
        assert words in page, words


def test_it_prints(page):
    assert "@media print" in page


def test_a_figure_that_is_missing_is_explained(read):
    html = render(read(), [PageFigure("conditions", "Averages", "Conditions are not known.", None)], [])

    assert "<p>Conditions are not known.</p>" in html
    assert "<img" not in html


def test_a_run_without_findings_is_told_to_be_fine(read):
    assert "Nothing conspicuous" in render(read(), [], [])


def test_a_good_finding_is_not_conspicuous(read):
    good = Finding("good", "Converged", "Seen.", "Means.", "Nothing.")

    html = render(read(), [], [good])

    assert "Nothing conspicuous" in html
    assert "Converged" in html


def test_text_from_files_is_escaped(read):
    run = read()
    run.data_check.warnings.append("<b>bold</b>")

    assert "&lt;b&gt;bold" in render(run, [], [])


@pytest.mark.parametrize("gaussian", [True, False])
def test_the_cards_tell_quality_in_the_terms_of_the_output(read, gaussian):
    run = read(gaussian=gaussian)

    html = render(run, [], diagnose(run))

    assert ("mean squared error" in html) == gaussian
    assert ("bits per spike, validation trials" in html) != gaussian


def test_the_page_tells_what_the_run_cost_and_until_when(finished):
    root = finished()
    run = folder.read(in_folder(root))
    record = CostRecord(
        currency="EUR",
        price_table="ours europe-west4 2030-01-31",
        as_of="2030-02-01T10:20:30.123+00:00",
        amount=1.266,
        gpu_hours=2.5,
    )

    told = render(dataclasses.replace(run, cost=record), [], diagnose(run))

    assert "Estimated cost: 1.27 EUR and 2.50 GPU-hours until 2030-02-01 10:20 UTC" in told
    assert "ours europe-west4 2030-01-31" in told
    without = re.sub(r'<p class="cost">.*</p>\n', "", told)
    assert without == render(run, [], diagnose(run))  # a line of its own, and nothing else changes
