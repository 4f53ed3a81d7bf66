"""Writes the generated files of the chart, or checks that they are fresh: `make crds` calls it.

    values.yaml, values.schema.json    from values.py and the operator's settings
    files/autolfadsruns.yaml           the CRD, as in crds/

No rendering happens here, so that no helm is needed.
"""

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticUndefined

from autolfads_operator.prices import PriceTable
from autolfads_operator.settings import OperatorSettings
from autolfads_spec.__main__ import CRD_HEAD
from autolfads_spec.document import dump
from autolfads_spec.schema import custom_resource_definition

HERE = Path(__file__).resolve().parent
CHART = "autolfads-operator"
sys.path.insert(0, str(HERE))
from values import FROM_OTHER_VALUES, Values  # noqa: E402 (a neighbour; charts/ is no package)

HEAD = "# Generated from charts/values.py and the operator's settings; edit these, then run `make crds`.\n"
WIDTH = 110


def generated() -> dict[Path, str]:
    """Every generated file of the chart with its text."""
    return {
        Path(CHART, "values.yaml"): values_yaml(),
        Path(CHART, "values.schema.json"): json.dumps(values_schema(), indent=2) + "\n",
        Path(CHART, "files/autolfadsruns.yaml"): CRD_HEAD + dump(custom_resource_definition()),
    }


def values_schema() -> dict[str, Any]:
    """JSON Schema of the values, closed: a misspelt one is told."""
    schema = _inlined(Values.model_json_schema(by_alias=True), {})
    schema["properties"]["settings"] |= {
        "additionalProperties": False,
        "properties": {to_camel(name): each for name, each in _settings().items()},
    }
    table = _inlined(PriceTable.model_json_schema(by_alias=True), {})
    # Without `required`: no table at all is fine. The operator itself reads it more closely.
    schema["properties"]["priceTable"] |= {
        "additionalProperties": False,
        "properties": table["properties"],
    }
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}


def values_yaml() -> str:
    """values.yaml: every value with its default and what it is for."""
    return HEAD + "\n".join(_lines(Values, 0)) + "\n"


def _settings() -> dict[str, Any]:
    found = OperatorSettings.model_json_schema()["properties"]
    chosen = {name: dict(each) for name, each in found.items() if name not in FROM_OTHER_VALUES}
    for each in chosen.values():
        each.pop("title", None)
    return chosen


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    """Without references and titles, which make messages of helm hard to read."""
    if isinstance(node, list):
        return [_inlined(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    definitions = definitions | node.get("$defs", {})
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        return _inlined({**target, **{k: v for k, v in node.items() if k != "$ref"}}, definitions)
    found = {
        key: _inlined(each, definitions) for key, each in node.items() if key not in ("$defs", "properties")
    }
    if isinstance(found.get("title"), str):
        del found["title"]
    if "properties" in node:
        found["properties"] = {key: _inlined(each, definitions) for key, each in node["properties"].items()}
    return found


def _lines(model: type[BaseModel], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in model.model_fields.items():
        if depth == 0:
            yield ""
        yield from _comment(field.description or "", indent)
        key, kind = field.alias or name, field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield f"{indent}{key}:"
            yield from _lines(kind, depth + 1)
            continue
        value = field.get_default(call_default_factory=True)
        assert value is not PydanticUndefined, f"values.py: {name} has no default"
        yield from _entry(key, value, indent)
        if name == "settings":
            yield from _settings_lines()


def _entry(key: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        text = yaml.safe_dump({key: value}, sort_keys=False, default_flow_style=None)
        yield textwrap.indent(text.rstrip(), indent)
    else:
        yield f"{indent}{key}: {json.dumps(value)}"


def _settings_lines() -> Iterator[str]:
    """The settings that can be given, with their defaults, commented out."""
    for name, each in _settings().items():
        yield from _comment(each["description"], "  #")
        yield f"  # {to_camel(name)}: {json.dumps(each.get('default', {}))}"


def _comment(text: str, indent: str) -> list[str]:
    lead = f"{indent}# "
    return textwrap.wrap(text, WIDTH, initial_indent=lead, subsequent_indent=lead)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check; the exit status."""
    parser = argparse.ArgumentParser(description="Write the generated files of the chart.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when one is not fresh")
    options = parser.parse_args(arguments)
    stale = 0
    for name, text in generated().items():
        path = HERE / name
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            sys.stderr.write(
                f"charts/{name}: wanted what its source says, found something else; run `make crds`\n"
            )
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
