"""Generated files of the chart are fresh, and values.yaml says of every value what it is for."""

import importlib.util
import itertools

import yaml

from autolfads_operator.settings import OperatorSettings
from helm.chart import CHART, ROOT

FREE_FORM = ("settings", "priceTable")  # their fields are optional, and not in values.yaml


def generator():
    """charts/generate.py, which is no package."""
    spec = importlib.util.spec_from_file_location("chart_generate", ROOT / "charts/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_generated_file_is_fresh():
    assert generator().main(["--check"]) == 0, "call `make crds`"


def test_the_kind_in_the_chart_is_the_one_in_crds():
    assert (CHART / "files/autolfadsruns.yaml").read_bytes() == (
        ROOT / "crds/autolfadsruns.yaml"
    ).read_bytes()


def test_every_value_has_a_comment():
    lines = (CHART / "values.yaml").read_text().splitlines()
    depth_of_free_form = None
    for before, line in itertools.pairwise(lines):
        depth = len(line) - len(line.lstrip())
        if depth_of_free_form is not None and depth > depth_of_free_form:
            continue
        depth_of_free_form = None
        if ":" not in line or line.lstrip().startswith("#"):
            continue
        assert before.lstrip().startswith("#"), line
        if line.strip() in ("resources:", "kuberay:"):
            depth_of_free_form = depth


def test_values_and_schema_know_the_same_names():
    def names(block):
        return {key: names(value) if isinstance(value, dict) else None for key, value in block.items()}

    def named(schema):
        return {
            key: named(each) if "properties" in each and key not in FREE_FORM else None
            for key, each in schema["properties"].items()
        }

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = generator().values_schema()

    def compared(left, right):
        assert left.keys() == right.keys()
        for key, value in right.items():
            if value is not None:
                compared(left[key], value)

    compared(names(values), named(schema))


def test_every_setting_can_be_chosen_or_follows_from_another_value():
    module = generator()
    chosen = module.values_schema()["properties"]["settings"]["properties"]

    assert len(chosen) == len(OperatorSettings.model_fields.keys() - module.FROM_OTHER_VALUES)
    assert OperatorSettings.model_fields.keys() >= module.FROM_OTHER_VALUES
