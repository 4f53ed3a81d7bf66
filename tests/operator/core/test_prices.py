"""The price table: which prices there are, and what is said of a table that is not right."""

import re
from pathlib import Path

import pytest
import yaml

from autolfads_operator import prices
from autolfads_spec import SpecError
from autolfads_spec.compute import MACHINE_TYPES

TABLE = """
name: ours
date: "2030-01-31"
region: europe-west4
currency: EUR
head: {cpu: 0.03, memoryGib: 0.004}
machines:
  - {machineType: n1-standard-8, accelerator: nvidia-tesla-t4, count: 1, onDemand: 0.80, spot: 0.30}
  - {machineType: n1-standard-8, onDemand: 0.40}
"""


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "prices.yaml"
        path.write_text(text)
        return prices.load(str(path))

    return load


@pytest.mark.parametrize("accelerator", MACHINE_TYPES)
def test_our_own_table_has_every_machine_that_is_chosen_by_default(accelerator):
    table, machine = prices.load(), MACHINE_TYPES[accelerator]
    kind = None if accelerator == "None" else accelerator

    amounts = [table.hourly(machine, kind, 1, way) for way in ("Spot", "FlexStart", "OnDemand")]

    assert amounts == sorted(amounts)
    assert 0.1 < amounts[0] < amounts[-1] < 20


def test_larger_machines_cost_as_much_for_each_accelerator_as_small_ones():
    by_kind = {}
    for price in prices.load().machines:
        if price.accelerator is not None and not price.accelerator.startswith("nvidia-l4"):
            by_kind.setdefault(price.accelerator, set()).add(round(price.on_demand / price.count, 3))

    assert {kind: len(each) for kind, each in by_kind.items()} == dict.fromkeys(by_kind, 1)


def test_a_table_says_what_it_is_and_where_it_comes_from():
    table = prices.load()

    assert table.title == f"google-list-prices us-central1 {table.date}"
    assert "github.com" in table.source


def test_a_machine_is_found_by_type_and_accelerator(load):
    table = load(TABLE)

    assert table.hourly("n1-standard-8", "nvidia-tesla-t4", 1, "Spot") == 0.30
    assert table.hourly("n1-standard-8", None, 0, "OnDemand") == 0.40
    assert table.hourly("n1-standard-8", "nvidia-l4", 1, "OnDemand") is None
    assert table.hourly("n1-standard-16", None, 0, "OnDemand") is None


def test_where_a_price_is_missing_one_is_taken_that_is_no_less(load):
    table = load(TABLE)

    assert table.hourly("n1-standard-8", None, 0, "Spot") == 0.40
    assert table.hourly("n1-standard-8", "nvidia-tesla-t4", 3, "Spot") == pytest.approx(3 * 0.30)


@pytest.mark.parametrize(
    ("cpu", "memory", "amount"),
    [
        ("2", "8Gi", 2 * 0.03 + 8 * 0.004),
        ("500m", "512Mi", 0.5 * 0.03 + 0.5 * 0.004),
        ("1.5", "8G", 1.5 * 0.03 + 8e9 / 2**30 * 0.004),
    ],
)
def test_the_head_costs_what_it_requests(load, cpu, memory, amount):
    assert load(TABLE).of_head(cpu, memory) == pytest.approx(amount)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        pytest.param("0.80", "-1", "machines[0].onDemand: wanted an amount an hour", id="negative"),
        pytest.param("0.80", "cheap", "found the text 'cheap'", id="no number"),
        pytest.param("EUR", "euro", "currency: wanted three capital letters", id="currency"),
        pytest.param('"2030-01-31"', "January", "date: wanted a date in quotes", id="date"),
        pytest.param("spot:", "spott:", "did you mean spot?", id="misspelt"),
        pytest.param("region: europe-west4\n", "", "region", id="missing"),
        pytest.param(
            ", accelerator: nvidia-tesla-t4, count: 1", "", "found n1-standard-8 twice", id="said twice"
        ),
        pytest.param("machines:", "machines: [", "wanted YAML, found", id="no YAML"),
    ],
)
def test_a_bad_table_is_told_by_place_and_cure(load, before, after, sentence):
    with pytest.raises(SpecError, match=r"prices\.yaml: ") as caught:
        load(TABLE.replace(before, after, 1))

    assert sentence in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1, 2]", "cheap"])
def test_what_is_no_table_at_all_is_told_as_such(load, text):
    with pytest.raises(
        SpecError, match=r"wanted a price table, found a text that is none; see docs/cost\.md"
    ):
        load(text)


def test_a_table_that_is_not_there_is_told_with_its_path():
    with pytest.raises(SpecError, match="/no/such: wanted a price table, found no such file"):
        prices.load("/no/such")


def test_the_table_of_the_docs_is_one(load):
    text = (Path(__file__).parents[3] / "docs/cost.md").read_text()
    example = re.search(r"```yaml\n(priceTable:\n.*?)```", text, re.DOTALL).group(1)

    table = load(yaml.safe_dump(yaml.safe_load(example)["priceTable"]))

    assert table.hourly("g2-standard-8", "nvidia-l4", 1, "Spot") == 0.56
