"""The CRD by the rules of structural schemas, checked by lines of our own rather than by the converter."""

import re
from pathlib import Path

import pytest
import yaml

from autolfads_spec import load_run, schema
from autolfads_spec.run import AutoLFADSRun, RunSpec
from autolfads_spec.status import ConditionType, Phase

CRD = yaml.safe_load((Path(__file__).parents[2] / "crds/autolfadsruns.yaml").read_text(encoding="utf-8"))
VERSION = CRD["spec"]["versions"][0]
OPENAPI = VERSION["schema"]["openAPIV3Schema"]
SPEC = OPENAPI["properties"]["spec"]
STATUS = OPENAPI["properties"]["status"]

ALLOWED = {
    "type",
    "description",
    "properties",
    "required",
    "items",
    "additionalProperties",
    "enum",
    "default",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-validations",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-int-or-string",
}
FROM_THE_SERVER = ("apiVersion", "kind", "metadata")


def nodes(node, path=""):
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from nodes(node[key], f"{path}.{key}")


ALL = [
    pytest.param(node, id=path or "root") for path, node in nodes(OPENAPI) if path[1:] not in FROM_THE_SERVER
]


def structural_faults(node):
    """What a Kubernetes API server would refuse in one node."""
    faults = [f"{key} is not allowed" for key in node if key not in ALLOWED]
    kind = node.get("type")
    if node.get("x-kubernetes-int-or-string"):
        return faults + (["int-or-string has a type"] if kind else [])
    if kind not in ("object", "array", "string", "integer", "number", "boolean"):
        faults.append(f"type is {kind}")
    if kind == "string" and "maxLength" not in node:
        faults.append("a text without maxLength")
    if kind == "array" and not {"maxItems", "items"} <= set(node):
        faults.append("a list without maxItems or items")
    if kind == "object" and ("properties" in node) == ("additionalProperties" in node):
        faults.append("an object needs either properties or additionalProperties")
    if "additionalProperties" in node and "maxProperties" not in node:
        faults.append("a map without maxProperties")
    if isinstance(node.get("additionalProperties"), bool):
        faults.append("additionalProperties is a bool")
    faults += [
        f"{k} is no bool"
        for k in ("exclusiveMinimum", "exclusiveMaximum")
        if not isinstance(node.get(k, True), bool)
    ]
    faults += [
        f"required {name} is no property"
        for name in node.get("required", ())
        if name not in node["properties"]
    ]
    if "default" in node and node["default"] is None:
        faults.append("default is null")
    for key in node.get("x-kubernetes-list-map-keys", ()):
        if key not in node["items"]["required"]:
            faults.append(f"list key {key} is not required")
    return faults


@pytest.mark.parametrize("node", ALL)
def test_the_schema_is_structural(node):
    assert structural_faults(node) == []


@pytest.mark.parametrize("node", ALL)
def test_every_node_is_described_and_every_rule_has_a_message(node):
    for rule in node.get("x-kubernetes-validations", ()):
        assert set(rule) == {"rule", "message"}
        assert rule["message"]
        assert "\n" not in rule["message"]


def test_the_fault_finder_finds_faults():
    assert structural_faults({"$ref": "x"}) == ["$ref is not allowed", "type is None"]
    assert structural_faults({"type": "string"}) == ["a text without maxLength"]
    assert structural_faults({"type": "number", "exclusiveMinimum": 0}) == ["exclusiveMinimum is no bool"]
    assert "anyOf is not allowed" in structural_faults({"anyOf": []})


def defaulted(node, value):
    """The API server's defaulting."""
    if node.get("type") == "object" and "properties" in node:
        value = dict(value)
        for name, child in node["properties"].items():
            if name not in value and "default" in child:
                value[name] = child["default"]
            if name in value:
                value[name] = defaulted(child, value[name])
    if node.get("type") == "array":
        value = [defaulted(node["items"], entry) for entry in value]
    return value


LEAST = {
    "apiVersion": "autolfads.dev/v1alpha1",
    "kind": "AutoLFADSRun",
    "metadata": {"name": "a"},
    "spec": {"data": {"uri": "gs://lab/a.mat"}, "output": {"uri": "gs://lab/out"}},
}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"data": {"uri": "gs://lab/a.mat", "validation": {"fraction": 0.2, "seed": 3}}},
        {"model": {"preset": "Lorenz", "factors": 3}, "population": {"exploit": {"strategy": "Truncation"}}},
        {"population": {"searchSpacePreset": "Tutorial", "size": 4}, "model": {"controllerUnits": 0}},
        {"compute": {"accelerator": {"type": "nvidia-l4"}, "nodePool": {"mode": "Auto"}}},
    ],
)
def test_the_api_servers_defaults_do_not_change_the_run(spec):
    content = LEAST | {"spec": LEAST["spec"] | spec}

    filled = content | {"spec": defaulted(SPEC, content["spec"])}

    assert load_run(filled) == load_run(content)
    assert filled["spec"]["population"]["generations"] == 50


def test_a_blocks_default_is_complete_since_rules_look_at_it_before_it_is_filled_in():
    for path, node in nodes(SPEC):
        if isinstance(node.get("default"), dict):
            assert node["default"] == defaulted(node, node["default"]), path


def test_rules_only_name_fields_that_exist():
    for path, node in nodes(SPEC):
        for rule in node.get("x-kubernetes-validations", ()):
            for used in re.findall(r"\b(?:self|oldSelf)((?:\.[a-zA-Z0-9]+)+)(\(?)", rule["rule"]):
                steps = used[0][1:].split(".")
                steps = steps[:-1] if used[1] else steps
                current = node
                for step in steps:
                    assert step in current["properties"], (path, rule["rule"])
                    current = current["properties"][step]


def rules():
    return [rule["rule"] for rule in SPEC["x-kubernetes-validations"]]


@pytest.mark.parametrize(
    "path",
    ["data", "model", "training", "resume", "output.uri", "population.size", "compute.membersPerCohort"],
)
def test_what_the_results_mean_cannot_change(path):
    assert f"self.{path} == oldSelf.{path}" in rules()


def test_an_optional_list_that_cannot_change_cannot_appear_or_vanish_either():
    assert (
        "has(self.population.searchSpace) == has(oldSelf.population.searchSpace) && "
        "(!has(self.population.searchSpace) || self.population.searchSpace == oldSelf.population.searchSpace)"
    ) in rules()


def test_generations_may_only_grow():
    assert "self.population.generations >= oldSelf.population.generations" in rules()


@pytest.mark.parametrize("field", ["accelerator", "provisioning", "nodePool", "head", "image", "queueName"])
def test_machines_change_only_while_suspended(field):
    (rule,) = [rule for rule in rules() if f"self.compute.{field} == oldSelf.compute.{field}" in rule]

    assert rule.startswith("oldSelf.suspend || (")


@pytest.mark.parametrize(
    "path",
    [
        "suspend",
        "schedule",
        "retry",
        "budget",
        "ttl",
        "deletionPolicy",
        "compute.workers",
        "population.stopping",
        "output.report",
        "output.posteriorSamples",
        "output.keepGenerations",
    ],
)
def test_what_may_change_at_any_time_has_no_transition_rule(path):
    assert not any(
        f"oldSelf.{path} " in f"{rule} " or f"oldSelf.{path})" in rule for rule in rules() if "||" not in rule
    )


def test_every_field_of_spec_is_either_free_or_guarded():
    guarded = {name for name in RunSpec.model_fields if any(f"oldSelf.{name}" in rule for rule in rules())}

    # `suspend` is read by the rules of the others.
    assert guarded == {"data", "model", "training", "resume", "output", "population", "compute", "suspend"}


def test_a_cluster_wants_the_bucket_and_the_accelerator_named():
    assert "self.data.uri.startsWith('gs://')" in rules()
    assert "self.output.uri.startsWith('gs://')" in rules()
    assert "has(self.compute.accelerator)" in rules()


def test_names_and_scope():
    assert CRD["metadata"]["name"] == "autolfadsruns.autolfads.dev"
    assert CRD["spec"]["scope"] == "Namespaced"
    assert CRD["spec"]["names"]["shortNames"] == ["alr", "lfads"]
    assert CRD["spec"]["names"]["categories"] == ["all", "autolfads"]
    assert VERSION["subresources"] == {"status": {}}


def test_the_columns_of_kubectl_get():
    columns = VERSION["additionalPrinterColumns"]

    assert [c["name"] for c in columns if "priority" not in c] == [
        "PHASE",
        "GEN",
        "BEST",
        "WORKERS",
        "COST",
        "AGE",
    ]
    assert [c["name"] for c in columns if c.get("priority") == 1] == [
        "GPU",
        "ATTEMPT",
        "RAYJOB",
        "OUTPUT",
        "MESSAGE",
    ]


@pytest.mark.parametrize("column", VERSION["additionalPrinterColumns"], ids=lambda c: c["name"])
def test_every_column_shows_a_field_that_exists(column):
    if column["jsonPath"] == ".metadata.creationTimestamp":
        return
    node = OPENAPI
    for step in column["jsonPath"][1:].split("."):
        node = node["properties"][step]

    assert node["type"] == column["type"]


def test_lists_with_keys_are_merged_by_them():
    search_space = SPEC["properties"]["population"]["properties"]["searchSpace"]
    conditions = STATUS["properties"]["conditions"]

    assert search_space["x-kubernetes-list-map-keys"] == ["name"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert STATUS["properties"]["phase"]["enum"] == [phase.value for phase in Phase]
    assert conditions["items"]["properties"]["type"]["enum"] == [kind.value for kind in ConditionType]


def test_members_per_cohort_is_an_int_or_a_string():
    node = SPEC["properties"]["compute"]["properties"]["membersPerCohort"]

    assert node["x-kubernetes-int-or-string"] is True
    assert node["default"] == "Auto"


def test_fields_that_a_preset_or_another_field_decides_have_no_default_for_the_api_server_to_fill_in():
    model = SPEC["properties"]["model"]["properties"]
    split = SPEC["properties"]["data"]["properties"]["validation"]["properties"]

    assert "default" not in model["factors"]
    assert "default" not in split["everyNth"]
    assert "default" not in SPEC["properties"]["population"]["properties"]["searchSpace"]
    assert model["preset"]["default"] == "Default"


def test_the_notes_for_messages_are_not_in_the_crd():
    notes = [
        key for _, node in nodes(schema.annotated(AutoLFADSRun)) for key in node if key.startswith("x-wanted")
    ]

    assert notes
    assert "x-wanted" not in str(CRD)
    assert "x-change" not in str(CRD)
