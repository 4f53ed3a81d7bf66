"""Runs near the edges of what our kind allows, drawn from its generated schema.

Each is a good run with one to four values changed: mostly to others that are good by themselves, whole blocks
among them, else to the ends of their ranges and a step beyond, to texts that nearly match or other types.
Numbers and texts come from small pools, so that rules between fields are met from both sides.
"""

import re
from typing import Any

from hypothesis import strategies as st

from autolfads_spec.run import RunSpec
from autolfads_spec.schema import structural

Schema = dict[str, Any]

OF_ANOTHER_TYPE = ("", 0, -1, 2.5, True, "x", "1", [], {}, [1], {"a": 1}, 10**12)
NUMBERS = (0, 0.001, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 20, 25)
TEXTS = (
    "gs://lab/runs/reach/x.mat",
    "gs://lab/runs/reach2",
    "gs://lab/runs/reach/",
    "gs://lab",
    "gs://LAB/x",
    "gs://lab/x y",
    "gs://lab/x\n",
    "s3://lab/x",
    "/data/reach.mat",
    "earlier-run",
    "Earlier",
    "a-",
    "90s",
    "45m",
    "24h",
    "1h30m",
    "30m1h",
    "99999h999999m9999999s",
    "2030-01-31T18:00:00Z",
    "2030-13-31T25:00:00Z",
    "0.00",
    "25.00",
    "1e3",
    "8Gi",
    "500m",
    "b\u00a0c",
    "٣s",
    "é",
)
SPEC = structural(RunSpec)


def _fields(schema: Schema, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Schema]]:
    found = []
    for name, child in schema["properties"].items():
        found.append(((*path, name), child))
        if "properties" in child:
            found += _fields(child, (*path, name))
    return found


def _values(schema: Schema, oddity: int = 3) -> st.SearchStrategy[Any]:
    """Good by themselves, but for about one in `oddity`, which is at or over an edge or of another type."""
    return st.one_of(*[_good(schema)] * (oddity - 1), _odd(schema))


def _good(schema: Schema) -> st.SearchStrategy[Any]:
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        return st.sampled_from(("Auto", 1, 2, 20, 21, 512))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if kind in ("integer", "number"):
        inside = [n for n in (*_edges(schema), *NUMBERS) if _is_inside(n, schema)]
        return st.sampled_from(inside)
    if kind == "string":
        return _texts(schema)
    if kind == "array":
        item = schema["items"]
        least, most = schema.get("minItems", 0), min(3, schema["maxItems"])
        return st.lists(_block(item) if "properties" in item else _good(item), min_size=least, max_size=most)
    return _block(schema) if kind == "object" else st.booleans()


def _odd(schema: Schema) -> st.SearchStrategy[Any]:
    likely: list[Any] = list(OF_ANOTHER_TYPE)
    if "enum" in schema:
        likely += [schema["enum"][0].lower(), f"{schema['enum'][0]} "]
    elif schema.get("type") in ("integer", "number"):
        likely += [*_edges(schema)] * 3
    elif schema.get("type") == "string":
        longest = schema["maxLength"]
        likely += ["a" * longest, "a" * (longest + 1), "é" * longest, *TEXTS]
        if "pattern" in schema:
            return st.one_of(st.sampled_from(likely), st.from_regex(schema["pattern"]), st.text(max_size=5))
    return st.sampled_from(likely)


def _edges(schema: Schema) -> list[float]:
    step = 1 if schema["type"] == "integer" else 1e-3
    ends = [schema[key] for key in ("minimum", "maximum", "default") if key in schema]
    return [end + change for end in ends for change in (-step, 0, step)]


def _is_inside(number: float, schema: Schema) -> bool:
    if schema["type"] == "integer" and not isinstance(number, int):
        return False
    low, high = schema.get("minimum", -1), schema.get("maximum", 30)
    over = number > low if schema.get("exclusiveMinimum") else number >= low
    under = number < high if schema.get("exclusiveMaximum") else number <= high
    return over and under


def _texts(schema: Schema) -> st.SearchStrategy[str]:
    pattern = re.compile(schema.get("pattern", "."))
    short = [t for t in TEXTS if pattern.search(t) and "\n" not in t and len(t) <= schema["maxLength"]]
    if "pattern" not in schema:
        return st.sampled_from(short)
    drawn = st.from_regex(pattern, fullmatch=True).filter(lambda t: len(t) <= schema["maxLength"])
    return st.one_of(drawn, st.sampled_from(short)) if short else drawn


def _block(schema: Schema) -> st.SearchStrategy[Any]:
    required = schema.get("required", ())
    values = {name: _values(child, oddity=12) for name, child in schema["properties"].items()}
    return st.fixed_dictionaries(
        {name: values[name] for name in required},
        optional={name: value for name, value in values.items() if name not in required},
    )


def _change(field: tuple[tuple[str, ...], Schema]) -> st.SearchStrategy[tuple[str, Any]]:
    path, schema = field
    return _values(schema).map(lambda value: (".".join(path), value))


changes: st.SearchStrategy[dict[str, Any]] = st.lists(
    st.sampled_from(_fields(SPEC)).flatmap(_change), min_size=1, max_size=4
).map(dict)
