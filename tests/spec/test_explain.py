import pytest

from autolfads_spec import explain, schema
from autolfads_spec.run import AutoLFADSRun


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"type": "integer", "minimum": 2, "maximum": 512}, "a whole number from 2 to 512"),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, "a number above 0"),
        (
            {"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 1},
            "a number above 0 and at most 1",
        ),
        (
            {"type": "number", "minimum": 0, "maximum": 1, "exclusiveMaximum": True},
            "a number from 0 to below 1",
        ),
        ({"type": "number"}, "a number"),
        ({"type": "integer", "minimum": 1}, "a whole number of at least 1"),
        ({"type": "boolean"}, "true or false"),
        ({"type": "string", "enum": ["A"], "maxLength": 1}, "A"),
        ({"type": "string", "enum": ["A", "B"], "maxLength": 1}, "one of A, B"),
        (
            {"type": "array", "maxItems": 3, "items": {"type": "number"}},
            "a list of at most 3 entries, each a number",
        ),
        ({"type": "object", "properties": {"a": {}, "b": {}}}, "a block with the fields a, b"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "a mapping from names to text"),
    ],
)
def test_allowed_values_in_words(node, words):
    assert explain.describe(node) == words


def test_every_field_can_be_described():
    def visit(node):
        assert explain.describe(node)
        for child in node.get("properties", {}).values():
            visit(child)

    visit(schema.annotated(AutoLFADSRun))
