"""Pydantic's errors as sentences: the field, what was wanted, what was found, what to do.

A wrong field keeps pydantic from looking at the rules between fields, so wrong fields are taken out (or
replaced by an example where one is needed) and the rest is looked at again, until all is said.
Rules that involve a field already reported stay silent: its cure may cure them.
"""

import copy
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from autolfads_spec import schema
from autolfads_spec.block import Block, block_class
from autolfads_spec.document import Place

MOST_PASSES = 20
LONGEST_QUOTE = 60


def all_problems(
    model: type[Block], content: Mapping[str, Any], error: ValidationError, lines: Mapping[Place, int]
) -> list[str]:
    """Every problem of a document, one sentence each, in the order of its lines."""
    teller = _Teller(model, content, lines)
    rest = copy.deepcopy(dict(content))
    pending: ValidationError | None = error
    for _ in range(MOST_PASSES):
        if pending is None:
            break
        for details in pending.errors(include_url=False, include_input=False):
            teller.tell(details)
        for place in teller.to_remove:
            _remove(rest, place, model)
        teller.to_remove.clear()
        try:
            model.model_validate(rest, by_alias=True, by_name=False)
            pending = None
        except ValidationError as next_error:
            pending = next_error
    return teller.sentences()


class _Teller:
    def __init__(self, model: type[Block], content: Mapping[str, Any], lines: Mapping[Place, int]) -> None:
        self._model = model
        self._schema = schema.annotated(model)
        self._content = content
        self._lines = lines
        self._told: dict[str, int] = {}
        self._reported: set[Place] = set()
        self.to_remove: list[Place] = []

    def sentences(self) -> list[str]:
        return sorted(self._told, key=lambda sentence: self._told[sentence])

    def tell(self, details: ErrorDetails) -> None:
        if details["type"] == "rules":
            for fields, sentence in details["ctx"]["problems"]:
                self._tell_rule(details["loc"], fields, sentence)
            return
        place = _inside(self._model, details["loc"])
        if details["type"] == "extra_forbidden":
            self._say(place, _unknown(self._model, place))
            self.to_remove.append(place)
            return
        self.to_remove.append(place)
        if self._is_reported(place):
            return
        self._reported.add(place)
        node = _node(self._schema, place)
        if details["type"] == "missing":
            self._say(place, _missing(place, node))
        else:
            self._say(place, _wrong(place, node, _value(self._content, place)))

    def _tell_rule(self, loc: Place, fields: Iterable[str], sentence: str) -> None:
        places = [(*loc, *field.split(".")) for field in fields]
        silent = any(self._is_reported(place) for place in places)
        self._reported.update(places)
        self.to_remove += places
        if not silent:
            named = next((place for place in places if place in self._lines), places[0])
            self._say(places[0] if len(places) == 1 else loc, f"{{}}: {sentence}", at=named)

    def _is_reported(self, place: Place) -> bool:
        return any(place[: len(other)] == other or other[: len(place)] == place for other in self._reported)

    def _say(self, place: Place, sentence: str, at: Place | None = None) -> None:
        sentence = sentence.replace("{}", dotted(place), 1)
        line = next((self._lines[p] for p in _upwards(at or place) if p in self._lines), 0)
        self._told.setdefault(sentence + (f" (line {line})" if line else ""), line)


def _upwards(place: Place) -> Iterable[Place]:
    return (place[:length] for length in range(len(place), 0, -1))


def dotted(place: Place) -> str:
    """A place as users write it: spec.population.searchSpace[2].min."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _inside(model: type[Block], loc: Place) -> Place:
    """The part of pydantic's location that is in the document; it appends names of union branches."""
    current: type[Block] | None = model
    for depth, step in enumerate(loc):
        if isinstance(step, int):
            continue
        if current is None:
            return loc[:depth]
        field = next((f for f in current.model_fields.values() if f.alias == step), None)
        if field is None:
            return loc[: depth + 1]
        current = block_class(field.annotation)
    return loc


def _node(node: Mapping[str, Any], place: Place) -> Mapping[str, Any]:
    for step in place:
        if isinstance(step, int):
            node = node["items"]
        else:
            node = node["properties"][step] if "properties" in node else node["additionalProperties"]
    return node


def _value(content: Any, place: Place) -> Any:
    for step in place:
        content = content[step]
    return content


def _remove(content: dict[str, Any], place: Place, model: type[Block]) -> None:
    """Take a wrong value out; a list goes as a whole, so that the places of other entries stay true."""
    if any(isinstance(step, int) for step in place) and (
        isinstance(place[-1], int) or _required(model, place)
    ):
        place = place[: next(i for i, step in enumerate(place) if isinstance(step, int))]
    parent: Any = content
    for step in place[:-1]:
        parent = parent.get(step) if isinstance(parent, dict) else parent[step]
        if not isinstance(parent, dict | list):
            return
    if not isinstance(parent, dict):
        return
    parent.pop(place[-1], None)
    if _required(model, place):
        parent[place[-1]] = _example(model, place)


def _owner(model: type[Block], place: Place) -> type[Block] | None:
    current: type[Block] | None = model
    for step in place[:-1]:
        if isinstance(step, str) and current is not None:
            field = next((f for f in current.model_fields.values() if f.alias == step), None)
            current = block_class(field.annotation) if field else None
    return current


def _required(model: type[Block], place: Place) -> bool:
    owner = _owner(model, place)
    fields = owner.model_fields.values() if owner else ()
    return any(field.alias == place[-1] and field.is_required() for field in fields)


def _example(model: type[Block], place: Place) -> Any:
    owner = _owner(model, place)
    assert owner is not None
    field = next(f for f in owner.model_fields.values() if f.alias == place[-1])
    child = block_class(field.annotation)
    if child is None:
        return (field.examples or [None])[0]
    return {
        str(inner.alias): _example(model, (*place, str(inner.alias)))
        for inner in child.model_fields.values()
        if inner.is_required()
    }


def _unknown(model: type[Block], place: Place) -> str:
    key = str(place[-1])
    owner = _owner(model, place) or model
    known = [str(field.alias) for field in owner.model_fields.values()]
    near = _nearest(key, known)
    if near:
        return f"{{}} is not a field; did you mean {near}?"
    elsewhere = [path for path in _all_paths(model) if str(path[-1]).lower() == _plain(key)]
    if elsewhere:
        return f"{{}} is not a field; did you mean {' or '.join(dotted(path) for path in elsewhere)}?"
    return f"{{}} is not a field; the fields of {dotted(place[:-1]) or 'the document'} are {', '.join(known)}"


def _plain(key: str) -> str:
    return key.replace("_", "").replace("-", "").lower()


def _nearest(key: str, known: Iterable[str]) -> str | None:
    by_plain = {_plain(name): name for name in known}
    near = difflib.get_close_matches(_plain(key), by_plain, n=1, cutoff=0.7)
    return by_plain[near[0]] if near else None


def _all_paths(model: type[Block], above: Place = ()) -> Iterable[Place]:
    for field in model.model_fields.values():
        path = (*above, str(field.alias))
        yield path
        child = block_class(field.annotation)
        if child is not None and "tuple" not in str(field.annotation):
            yield from _all_paths(child, path)


def _missing(place: Place, node: Mapping[str, Any]) -> str:
    example = f", for example {place[-1]}: {node['examples'][0]}" if "examples" in node else ""
    return f"{{}} is missing; wanted {describe(node)}; add it{example}"


def _wrong(place: Place, node: Mapping[str, Any], value: Any) -> str:
    return f"{{}}: wanted {describe(node)}, found {_found(value)}; {_cure(node, value)}"


def _found(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value}"
    if isinstance(value, str):
        quote = value if len(value) <= LONGEST_QUOTE else value[:LONGEST_QUOTE] + "…"
        return f"the text '{quote}'" if quote else "an empty text"
    if isinstance(value, Mapping):
        return f"a block with {', '.join(map(str, value))}" if value else "an empty block"
    return f"a list of {len(value)}"


def _cure(node: Mapping[str, Any], value: Any) -> str:
    if "enum" in node and isinstance(value, str):
        near = _nearest(value, node["enum"])
        if near:
            return f"did you mean {near}?"
    if node.get("type") in ("integer", "number") and isinstance(value, str) and _is_number(value):
        return "remove the quotes"
    if node.get("type") == "string" and isinstance(value, int | float):
        return "put it in quotes"
    if isinstance(value, list) and node.get("type") != "array":
        return "give a single one"
    default = node.get("default")
    if default is not None and not isinstance(default, dict | list):
        shown = {True: "true", False: "false"}[default] if isinstance(default, bool) else default
        return f"change it, or leave it out for the default, {shown}"
    return "give a value, or remove the line" if value is None else "change it"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def describe(node: Mapping[str, Any]) -> str:
    """The allowed values of a field, in words."""
    if "x-wanted" in node:
        return str(node["x-wanted"])
    if "enum" in node:
        return str(node["enum"][0]) if len(node["enum"]) == 1 else f"one of {', '.join(node['enum'])}"
    kind = node.get("type")
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _range(node)
    if kind == "string":
        return f"text of 1 to {node['maxLength']} characters" if "minLength" in node else "text"
    if kind == "boolean":
        return "true or false"
    if kind == "array":
        least = (
            f"{node['minItems']} to {node['maxItems']}"
            if "minItems" in node
            else f"at most {node['maxItems']}"
        )
        return f"a list of {least} entries, each {describe(node['items'])}"
    if "properties" in node:
        return f"a block with the fields {', '.join(node['properties'])}"
    return "a mapping from names to text"


def _range(node: Mapping[str, Any]) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    over, under = node.get("exclusiveMinimum", False), node.get("exclusiveMaximum", False)
    lower = None if low is None else f"above {low:g}" if over else f"of at least {low:g}"
    upper = None if high is None else f"below {high:g}" if under else f"at most {_whole(high)}"
    if low is not None and high is not None and not over:
        return f" from {low:g} to {'below ' if under else ''}{_whole(high)}"
    return "".join(f" {part}" for part in (" and ".join(part for part in (lower, upper) if part),) if part)


def _whole(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{number:g}"
