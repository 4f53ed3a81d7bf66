import pytest
from pydantic import ValidationError

from autolfads_spec.block import block_class
from autolfads_spec.data import DataSpec, ValidationSplit
from autolfads_spec.population import PopulationSpec, SearchDimension
from autolfads_spec.run import AutoLFADSRun, RunSpec


def all_blocks(model=AutoLFADSRun):
    return [model, *(b for _, child in model.blocks_inside() for b in all_blocks(child))]


def test_a_block_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        PopulationSpec().size = 3


def test_python_takes_snake_case_and_camel_case():
    assert DataSpec(uri="a", bin_width_ms=5) == DataSpec(uri="a", binWidthMs=5)


def test_a_block_made_in_python_keeps_the_rules_too():
    with pytest.raises(ValidationError, match="wanted rebinMs to be a whole multiple"):
        DataSpec(uri="a", bin_width_ms=3, rebin_ms=10)


@pytest.mark.parametrize("block", all_blocks(), ids=lambda block: block.__name__)
def test_every_field_says_in_one_sentence_what_it_is(block):
    for name, field in block.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize("block", all_blocks(), ids=lambda block: block.__name__)
def test_every_rule_names_fields_that_exist(block):
    for rule in block.rules:
        for path in rule.fields:
            current = block
            for step in path.split("."):
                field = next(f for f in current.model_fields.values() if f.alias == step)
                current = block_class(field.annotation)


def test_the_block_inside_an_annotation_is_found():
    assert block_class(tuple[SearchDimension, ...] | None) is SearchDimension
    assert block_class(int | None) is None
    assert dict(RunSpec.blocks_inside())["data"] is DataSpec
    assert dict(DataSpec.blocks_inside())["validation"] is ValidationSplit
