"""The models as OpenAPI: the CustomResourceDefinition, and the same tree with notes for messages.

Kubernetes wants a *structural* schema: no references, no null unions, boolean exclusive bounds, no titles, no
closed-object markers. Pydantic writes all of these, so this module translates. It adds what pydantic does
not know: CEL rules, immutability, list keys, printer columns. Every text, list and map needs a largest size,
or the API server refuses the rules for their possible cost.
"""

from collections.abc import Mapping
from typing import Any

from autolfads_spec.block import Block, block_class
from autolfads_spec.run import API_VERSION, CLUSTER_RULES, GROUP, KIND, VERSION, AutoLFADSRun, RunSpec
from autolfads_spec.status import RunStatus

Schema = dict[str, Any]

PLURAL = "autolfadsruns"
_LONGEST_MAP_VALUE = 1024
_COPIED = (
    "description",
    "type",
    "enum",
    "pattern",
    "minLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)
_NOTES = ("x-change", "x-wanted", "examples")
_WHAT_A_NEW_RUN_IS_FOR = "it is part of what the results mean; create another run"

COLUMNS: tuple[tuple[str, str, str, int], ...] = (
    ("PHASE", "string", ".status.phase", 0),
    ("GEN", "string", ".status.progress.summary", 0),
    ("BEST", "string", ".status.best.metric", 0),
    ("WORKERS", "string", ".status.progress.workersReady", 0),
    ("COST", "string", ".status.cost.summary", 0),
    ("AGE", "date", ".metadata.creationTimestamp", 0),
    ("GPU", "string", ".spec.compute.accelerator.type", 1),
    ("ATTEMPT", "integer", ".status.attempt", 1),
    ("RAYJOB", "string", ".status.rayJobName", 1),
    ("OUTPUT", "string", ".spec.output.uri", 1),
    ("MESSAGE", "string", ".status.message", 1),
)


def annotated(model: type[Block]) -> Schema:
    """Structural schema of a block plus notes (`x-change`, `x-wanted`, `examples`)."""
    return _Converter(model, notes=True).root()


def structural(model: type[Block]) -> Schema:
    """Structural schema of a block, as Kubernetes takes it."""
    return _Converter(model, notes=False).root()


class _Converter:
    def __init__(self, model: type[Block], notes: bool) -> None:
        self._raw = model.model_json_schema(by_alias=True, mode="validation")
        self._definitions = self._raw.get("$defs", {})
        self._notes = notes
        self._blocks = {cls.__name__: cls for cls in _all_blocks(model)}
        self._model = model

    def root(self) -> Schema:
        return self._with_rules(self._convert(self._raw), self._model)

    def _convert(self, node: Schema) -> Schema:
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[-1]
            target = self._convert(self._definitions[name] | {k: v for k, v in node.items() if k != "$ref"})
            return self._with_rules(target, self._blocks[name]) if name in self._blocks else target
        if "anyOf" in node:
            return self._union(node)
        result: Schema = {key: node[key] for key in _COPIED if key in node}
        if self._notes:
            result |= {key: node[key] for key in _NOTES if key in node}
        if "const" in node:
            result["enum"] = [node["const"]]
        _bounds(node, result)
        kind = result.get("type")
        if kind == "string":
            result["maxLength"] = _largest_text(node, result)
        elif kind == "array":
            result["items"] = self._items(node)
            assert "maxItems" in result, f"a list without max_length: {node}"
        elif kind == "object":
            self._object(node, result)
        default = node.get("default")
        if default is not None and not node.get("x-default-elsewhere"):
            result["default"] = default
        return result

    def _union(self, node: Schema) -> Schema:
        options = [option for option in node["anyOf"] if option.get("type") != "null"]
        siblings = {k: v for k, v in node.items() if k != "anyOf"}
        if len(options) == 1:
            return self._convert(options[0] | siblings)
        result: Schema = {"x-kubernetes-int-or-string": True, "description": node["description"]}
        if self._notes:
            result |= {key: node[key] for key in _NOTES if key in node}
        return result | {"default": node["default"]}

    def _items(self, node: Schema) -> Schema:
        item = node["items"]
        if "x-item-max-length" in node:
            item = item | {"maxLength": node["x-item-max-length"]}
        return self._convert(item)

    def _object(self, node: Schema, result: Schema) -> None:
        if "properties" in node:
            required = node.get("required", [])
            result["properties"] = {name: self._convert(child) for name, child in node["properties"].items()}
            if required:
                result["required"] = list(required)
            for name, child in node["properties"].items():
                if name not in required and "$ref" in child and "properties" in result["properties"][name]:
                    block = result["properties"][name]
                    block["default"] = _defaults(block)
            return
        value = self._convert(node["additionalProperties"] | {"maxLength": _LONGEST_MAP_VALUE})
        result["additionalProperties"] = value
        assert "maxProperties" in result, f"a map without max_length: {node}"

    def _with_rules(self, schema: Schema, model: type[Block]) -> Schema:
        rules = [{"rule": rule.cel, "message": rule.message} for rule in model.rules if rule.cel]
        return schema | {"x-kubernetes-validations": rules} if rules else schema


def _defaults(block: Schema) -> Schema:
    """A block with nothing given, written out: the API server checks a default before it fills it in."""
    return {name: child["default"] for name, child in block["properties"].items() if "default" in child}


def _bounds(node: Schema, result: Schema) -> None:
    for side in ("inimum", "aximum"):
        if f"m{side}" in node:
            result[f"m{side}"] = node[f"m{side}"]
        if f"exclusiveM{side}" in node:
            result[f"m{side}"] = node[f"exclusiveM{side}"]
            result[f"exclusiveM{side}"] = True


def _largest_text(node: Schema, result: Schema) -> int:
    if "maxLength" in node:
        return int(node["maxLength"])
    assert "enum" in result, f"a text without max_length: {node}"
    return max(len(value) for value in result["enum"])


def _all_blocks(model: type[Block]) -> list[type[Block]]:
    found = [model]
    for _, child in model.blocks_inside():
        found += _all_blocks(child)
    return found


def immutability_rules() -> list[dict[str, str]]:
    """Transition rules of the spec: what may change when, from the marks of the fields."""
    rules = []
    for field in RunSpec.model_fields.values():
        name, child = str(field.alias), block_class(field.annotation)
        mark = _mark(field.json_schema_extra)
        if mark == "field by field" and child is not None:
            for inner in child.model_fields.values():
                has_default = (
                    not inner.is_required() and inner.get_default(call_default_factory=True) is not None
                )
                always_there = inner.is_required() or (
                    has_default and not _extra(inner.json_schema_extra).get("x-default-elsewhere")
                )
                rules += _change_rule(f"{name}.{inner.alias}", _mark(inner.json_schema_extra), always_there)
        else:
            rules += _change_rule(name, mark, always_there=True)
    return rules


def _extra(extra: Any) -> Mapping[str, Any]:
    return extra if isinstance(extra, Mapping) else {}


def _mark(extra: Any) -> str:
    return str(_extra(extra).get("x-change", "no"))


def _change_rule(path: str, mark: str, always_there: bool) -> list[dict[str, str]]:
    same = f"self.{path} == oldSelf.{path}"
    if not always_there:
        same = f"has(self.{path}) == has(oldSelf.{path}) && (!has(self.{path}) || {same})"
    if mark == "no":
        return [{"rule": same, "message": f"spec.{path} cannot change: {_WHAT_A_NEW_RUN_IS_FOR}"}]
    if mark == "may only grow":
        message = f"spec.{path} may only grow; to end earlier use spec.population.stopping or delete the run"
        return [{"rule": f"self.{path} >= oldSelf.{path}", "message": message}]
    if mark == "while suspended":
        message = f"spec.{path} changes only while the run is suspended; set spec.suspend to true first"
        return [{"rule": f"oldSelf.suspend || ({same})", "message": message}]
    return []


def openapi() -> Schema:
    """Schema of the whole object: the run, its name's rule, and its status."""
    run = structural(AutoLFADSRun)
    spec = run["properties"]["spec"]
    spec["x-kubernetes-validations"] += [
        {"rule": rule.cel, "message": rule.message} for rule in CLUSTER_RULES
    ]
    spec["x-kubernetes-validations"] += immutability_rules()
    return {
        "type": "object",
        "description": run["description"],
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Version of this form: {API_VERSION}."},
            "kind": {"type": "string", "description": f"What this document describes: {KIND}."},
            "metadata": {"type": "object"},
            "spec": spec,
            # Before the operator has looked, tools that know kstatus must not take the run for ready.
            "status": structural(RunStatus) | {"default": {"observedGeneration": 0}},
        },
        "x-kubernetes-validations": [
            {
                # 40, because a RayJob is called <run>-a<NN> and may have 47 characters.
                "rule": "self.metadata.name.size() <= 40 && "
                "self.metadata.name.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$')",
                "message": "metadata.name: wanted at most 40 lower-case letters, digits and dashes, "
                "a letter first and no dash at the end; choose another name",
            }
        ],
    }


def custom_resource_definition() -> Schema:
    """The CRD as plain values."""
    columns = [
        {"name": name, "type": kind, "jsonPath": path} | ({"priority": priority} if priority else {})
        for name, kind, path, priority in COLUMNS
    ]
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": openapi()},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": "autolfadsrun",
                "shortNames": ["alr", "lfads"],
                "categories": ["all", "autolfads"],
            },
            "versions": [version],
        },
    }
