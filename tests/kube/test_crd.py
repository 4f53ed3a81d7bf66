"""Our kind in a real API server: what it refuses, fills in, lets change and shows.

Pydantic and the API server read the same generated rules with different engines, so both are asked here, and
have to agree but for the differences that have a name.
"""

import copy
import json
import math
import os
import subprocess

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from autolfads_spec import SpecError, load_run
from autolfads_spec.run import GROUP, VERSION, cluster_problems
from autolfads_spec.schema import PLURAL, immutability_rules, openapi
from kube import strange_runs
from spec import test_bad_specs

pytestmark = pytest.mark.kube

LEAST = {
    "apiVersion": f"{GROUP}/{VERSION}",
    "kind": "AutoLFADSRun",
    "metadata": {"name": "reach"},
    "spec": {
        "data": {"uri": "gs://lab/reach.mat"},
        "output": {"uri": "gs://lab/runs/reach"},
        "compute": {"accelerator": {"type": "nvidia-l4"}},
    },
}
# Defaults that depend on other fields, which a schema cannot say: `load_run` fills them in.
LEFT_TO_LOAD_RUN = {
    **dict.fromkeys(
        (
            "model.icEncoderUnits",
            "model.ciEncoderUnits",
            "model.controllerUnits",
            "model.inferredInputs",
            "model.icDim",
            "model.generatorUnits",
            "model.factors",
        ),
        "model.preset says it",
    ),
    "data.validation.everyNth": "data.validation.fraction may be there instead",
    "population.exploit.fraction": "population.exploit.strategy may have none",
    "population.searchSpace": "population.searchSpacePreset adds to it",
}
# Where the API server and `load_run` differ, and why that is meant.
DIFFERENCES = {
    "null": "the API server takes a field without a value as left out; in a file it is an unfinished line",
    "4.0": "where no rule looks at it, the API server stores 4.0 as 4; in a file it is the wrong kind",
    "nan": "JSON has no such number",
    "dots": "a path of this machine can go up a folder, a name in a bucket cannot",
}


def with_values(values):
    """The least run with these values at these dotted paths of its spec."""
    run = copy.deepcopy(LEAST)
    for path, value in values.items():
        *blocks, name = path.split(".")
        place = run["spec"]
        for block in blocks:
            if not isinstance(place.get(block), dict):
                place[block] = {}
            place = place[block]
        place[name] = value
    return run


class Runs:
    """The runs of one namespace, by the API server's own words."""

    def __init__(self, cluster, namespace):
        self._api = client.CustomObjectsApi(cluster.client())
        self._place = (GROUP, VERSION, namespace, PLURAL)

    def create(self, run, **options):
        return self._api.create_namespaced_custom_object(
            *self._place, run, field_validation="Strict", **options
        )

    def refusal(self, run):
        """Why the API server would not take this run; empty when it would."""
        return _refusal(lambda: self.create(run, dry_run="All"))

    def change_refusal(self, spec):
        """Why it would not take this merge patch of the spec; empty when it would."""
        patch = self._api.patch_namespaced_custom_object
        return _refusal(lambda: patch(*self._place, "reach", {"spec": spec}, dry_run="All"))

    def change(self, spec):
        return self._api.patch_namespaced_custom_object(*self._place, "reach", {"spec": spec})

    def set_status(self, **status):
        return self._api.patch_namespaced_custom_object_status(*self._place, "reach", {"status": status})

    def remove(self):
        self._api.delete_namespaced_custom_object(*self._place, "reach")


def _refusal(ask):
    try:
        ask()
    except ApiException as error:
        if error.status not in (400, 422):
            raise
        return json.loads(error.body)["message"]
    return ""


@pytest.fixture
def runs(cluster, namespace):
    return Runs(cluster, namespace)


def refusal_of_pydantic(run):
    try:
        return "; ".join(cluster_problems(load_run(copy.deepcopy(run))))
    except SpecError as error:
        return str(error)


# --- what is refused


def in_a_cluster(text):
    """A wrong document of the tests of the spec, right in all that a cluster wants besides."""
    run = json.loads(json.dumps(yaml.safe_load(text), default=str))
    spec = run["spec"]
    for block in ("data", "output"):
        uri = spec.get(block, {}).get("uri")
        if isinstance(uri, str) and uri and not uri.startswith("gs:") and "://" not in uri:
            spec[block]["uri"] = f"gs://lab/{uri}"
    compute = spec.setdefault("compute", {})
    compute.setdefault("accelerator", {"type": "nvidia-l4"})
    return run


def difference(case):
    text = case.values[0]
    if case.id in ("data-below-by-dots",):
        return "dots"
    if "null" in text:
        return "null"
    return "nan" if ".nan" in text or ".inf" in text else None


WRONG = [*test_bad_specs.WRONG_FIELDS, *test_bad_specs.BROKEN_RULES]
WRONG_EVERYWHERE = [case for case in WRONG if difference(case) is None]
NOT_FOR_A_CLUSTER = {
    "data-on-a-laptop": with_values({"data.uri": "/data/reach.mat"}),
    "output-on-a-laptop": with_values({"output.uri": "runs/reach"}),
    "no-accelerator": with_values({"compute": {}}),
    "long-name": {**LEAST, "metadata": {"name": "a" * 41}},
    "name-with-a-dot": {**LEAST, "metadata": {"name": "a.b"}},
}


def test_the_differences_that_have_a_name_are_few():
    assert {difference(case) for case in WRONG} - {None} <= set(DIFFERENCES)
    assert len(WRONG) - len(WRONG_EVERYWHERE) < 6


@pytest.mark.parametrize("text", [pytest.param(case.values[0], id=case.id) for case in WRONG_EVERYWHERE])
def test_what_a_laptop_refuses_a_cluster_refuses(runs_of_the_module, text):
    run = in_a_cluster(text)

    assert runs_of_the_module.refusal(run)
    assert refusal_of_pydantic(run)


@pytest.mark.parametrize("name", NOT_FOR_A_CLUSTER)
def test_what_only_a_cluster_refuses(runs_of_the_module, name):
    assert runs_of_the_module.refusal(NOT_FOR_A_CLUSTER[name])


def rules_of(schema):
    """Messages of all rules that look at one object, not at a change."""
    found = {r["message"] for r in schema.get("x-kubernetes-validations", ()) if "oldSelf" not in r["rule"]}
    children = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else ())]
    return found.union(*(rules_of(child) for child in children))


def test_every_rule_refuses_something_with_its_own_words(runs_of_the_module):
    wrong = [*(in_a_cluster(case.values[0]) for case in WRONG_EVERYWHERE), *NOT_FOR_A_CLUSTER.values()]
    said = "\n".join(runs_of_the_module.refusal(run) for run in wrong)

    rules = rules_of(openapi())

    assert len(rules) > 30
    assert {rule for rule in rules if rule not in said} == set()


# --- the same verdict


# The same runs each time, so that CI is red for what was changed; AUTOLFADS_RANDOM=1 draws others.
@settings(
    max_examples=400,
    derandomize="AUTOLFADS_RANDOM" not in os.environ,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(changes=strange_runs.changes)
def test_pydantic_and_the_api_server_have_the_same_verdict(runs_of_the_module, changes):
    run = with_values(changes)

    by_server, by_pydantic = runs_of_the_module.refusal(run), refusal_of_pydantic(run)

    assert bool(by_server) == bool(by_pydantic), f"{changes}\n{by_server=}\n{by_pydantic=}"


def test_the_differences_are_as_described(runs_of_the_module):
    null = with_values({"output.keepGenerations": None})
    whole = with_values({"output.keepGenerations": 4.0})

    assert runs_of_the_module.refusal(null) == runs_of_the_module.refusal(whole) == ""
    assert "found nothing" in refusal_of_pydantic(null)
    assert "found 4.0" in refusal_of_pydantic(whole)
    for run, kept in ((null, 2), (whole, 4)):
        stored = runs_of_the_module.create(run, dry_run="All")
        assert load_run(stored).spec.output.keep_generations == kept


# --- what is filled in


def below(part, whole):
    """Whether everything in one value is in the other at the same place."""
    if isinstance(part, dict):
        return all(key in whole and below(value, whole[key]) for key, value in part.items())
    return math.isclose(part, whole) if isinstance(part, float) else part == whole


def leaves(block, above=""):
    """Dotted paths of all values in it."""
    inner = {f"{above}{name}": value for name, value in block.items()}
    return {
        leaf
        for path, value in inner.items()
        for leaf in (leaves(value, f"{path}.") if isinstance(value, dict) else [path])
    }


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"data.validation": {"fraction": 0.2, "seed": 3}},
        {"model": {"preset": "Lorenz", "factors": 3}},
        {"population": {"exploit": {"strategy": "Truncation"}, "searchSpacePreset": "Tutorial"}},
        {"compute.nodePool": {"mode": "Auto"}, "compute.membersPerCohort": 4},
        {"population.searchSpace": [{"name": "dropoutRate", "distribution": "Choice", "values": [0, 0.5]}]},
        {"training": {}, "schedule": {}, "output": {"uri": "gs://lab/runs/reach"}},
    ],
)
def test_the_defaults_of_the_api_server_are_pydantics(runs_of_the_module, values):
    run = with_values(values)

    filled = runs_of_the_module.create(run, dry_run="All")

    loaded = load_run(run)
    assert load_run(filled).spec == loaded.spec
    written = loaded.model_dump(mode="json", by_alias=True, exclude_none=True)["spec"]
    filled["spec"]["population"].pop("searchSpace", None)
    assert below(filled["spec"], written)
    assert leaves(written) - leaves(filled["spec"]) - LEFT_TO_LOAD_RUN.keys() == set()
    assert filled["spec"]["population"]["generations"] == 50
    assert filled["spec"]["suspend"] is False


# --- what may change

NEVER = {
    "data": {"binWidthMs": 5},
    "model": {"factors": 12},
    "training": {"batchSize": 12},
    "resume": {"policy": "Never"},
    "output": {"uri": "gs://lab/elsewhere"},
    "population.size": 21,
    "population.epochsPerGeneration": 12,
    "population.seed": 12,
    "population.searchSpacePreset": "None",
    "population.searchSpace": [
        {"name": "learningRate", "distribution": "Uniform", "min": 0.1, "max": 0.2},
    ],
    "population.exploit": {"strategy": "Truncation"},
    "population.explore": {"strategy": "Resample"},
    "population.metric": "HeldOut",
    "population.smoothing": 0.5,
    "population.generations": 49,
    "compute.membersPerCohort": 4,
}
WHILE_SUSPENDED = {
    "compute.accelerator": {"type": "nvidia-tesla-t4"},
    "compute.provisioning": "Spot",
    "compute.nodePool": {"name": "gpus"},
    "compute.head": {"memory": "16Gi"},
    "compute.image": "lab/worker:2",
    "compute.serviceAccountName": "trainer",
    "compute.queueName": "lab",
}
ALWAYS = {
    "population.generations": 51,
    "population.stopping": {"patience": 9},
    "output.posteriorSamples": 9,
    "output.formats": ["HDF5"],
    "output.report": False,
    "output.keepGenerations": 9,
    "compute.workers": {"desired": 4},
    "suspend": True,
    "schedule": {"deadline": "48h"},
    "retry": {"maxAttempts": 9},
    "budget": {"maxCost": "12.50"},
    "ttl": {"runAfterFinished": "24h"},
    "deletionPolicy": "Abandon",
}


def nested(path, value):
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


@pytest.fixture(scope="module")
def runs_of_the_module(_running):
    _running.start_missing()
    core = client.CoreV1Api(_running.client())
    core.create_namespace({"metadata": {"name": "test-crd"}})
    yield Runs(_running, "test-crd")
    _running.start_missing()
    core.delete_namespace("test-crd")


@pytest.fixture(params=[False, True], ids=["running", "suspended"])
def started(runs_of_the_module, request):
    """A run that is stored, and whether it is suspended."""
    runs_of_the_module.create(with_values({"suspend": request.param}))
    yield request.param
    runs_of_the_module.remove()


def test_each_field_changes_only_when_it_may(runs_of_the_module, started):
    refused = {
        path: runs_of_the_module.change_refusal(nested(path, value))
        for path, value in [*NEVER.items(), *WHILE_SUSPENDED.items()]
    }

    for path in NEVER:
        assert f"spec.{path.split('.')[0]}" in refused[path], path
        assert "cannot change" in refused[path] or "may only grow" in refused[path]
    for path in WHILE_SUSPENDED:
        if started:
            assert refused[path] == ""
        else:
            assert f"spec.{path} changes only while the run is suspended" in refused[path]
    for path, value in ALWAYS.items():
        assert runs_of_the_module.change_refusal(nested(path, value)) == "", path


def test_every_guarded_field_is_tried():
    guarded = {rule["message"].split(" ")[0].removeprefix("spec.") for rule in immutability_rules()}
    tried = {"output.uri" if path == "output" else path for path in (*NEVER, *WHILE_SUSPENDED)}

    assert guarded == tried


def test_what_was_given_for_machines_can_go_again_while_suspended(runs):
    runs.create(with_values({"compute.nodePool": {"name": "gpus"}}))

    assert "spec.compute.nodePool changes only" in runs.change_refusal({"compute": {"nodePool": None}})
    runs.change({"suspend": True})

    assert runs.change_refusal({"compute": {"nodePool": None}}) == ""


def test_a_wrong_change_is_refused_like_a_wrong_run(runs):
    runs.create(LEAST)

    assert "membersPerCohort" in runs.change_refusal({"compute": {"membersPerCohort": 21}})
    assert "workers.desired" in runs.change_refusal({"compute": {"workers": {"desired": 21}}})


# --- status


def test_status_has_a_door_of_its_own(runs):
    created = runs.create({**LEAST, "status": {"phase": "Succeeded"}})
    assert created["status"] == {"observedGeneration": 0}  # nobody has looked at it yet
    assert created["metadata"]["generation"] == 1

    reported = runs.set_status(phase="Running", observedGeneration=1)
    changed = runs.change({"suspend": True})

    assert reported["metadata"]["generation"] == 1
    assert changed["metadata"]["generation"] == 2
    assert changed["status"] == {"phase": "Running", "observedGeneration": 1}


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Sleeping"},
        {"conditions": [{"type": "Ready", "status": "True", "reason": "AsExpected"}]},
        {"conditions": [{"type": "Complete", "status": "Yes", "reason": "Succeeded"}]},
        {"conditions": [{"type": "Failed", "status": "True", "reason": "BadInput"}] * 2},
        {"progress": {"percent": 101}},
    ],
)
def test_a_status_of_another_form_is_refused(runs, status):
    runs.create(LEAST)

    assert _refusal(lambda: runs.set_status(**status))


# --- what kubectl shows

STATUS = {
    "phase": "Running",
    "attempt": 2,
    "progress": {"summary": "12/50", "workersReady": "3/4"},
    "best": {"metric": "0.2113"},
    "cost": {"estimate": "4.20", "summary": "4.20 USD"},
    "rayJobName": "reach-a02",
    "message": "training generation 13",
}


def table(text):
    """Rows of kubectl's table by its headings, which stand above the beginnings of the columns."""
    heading, *rows = text.splitlines()
    names = heading.split()
    starts = [heading.index(f"{name} " if name != names[-1] else name) for name in names]
    ends = [*starts[1:], None]
    return [
        {name: row[start:end].strip() for name, start, end in zip(names, starts, ends, strict=True)}
        for row in rows
    ]


@pytest.fixture
def shown(cluster, namespace, runs):
    """`shown(words...)`: what kubectl prints to a user about a run that trains."""
    runs.create(LEAST)
    runs.set_status(**STATUS)
    return lambda *words: cluster.kubectl(*words, f"--namespace={namespace}", actor="user").stdout


@pytest.mark.parametrize("name", ["autolfadsruns", "autolfadsrun", "alr", "lfads", "autolfads"])
def test_kubectl_get_shows_how_it_goes_by_every_name(shown, name):
    (row,) = table(shown("get", name))

    assert row.pop("AGE").endswith("s")
    assert row == {
        "NAME": "reach",
        "PHASE": "Running",
        "GEN": "12/50",
        "BEST": "0.2113",
        "WORKERS": "3/4",
        "COST": "4.20 USD",
    }


def test_kubectl_get_wide_shows_where(shown):
    (row,) = table(shown("get", "alr", "--output=wide"))

    assert {key: row[key] for key in ("GPU", "ATTEMPT", "RAYJOB", "OUTPUT", "MESSAGE")} == {
        "GPU": "nvidia-l4",
        "ATTEMPT": "2",
        "RAYJOB": "reach-a02",
        "OUTPUT": "gs://lab/runs/reach",
        "MESSAGE": "training generation 13",
    }


def test_kubectl_get_all_shows_it(shown):
    assert "autolfadsrun.autolfads.dev/reach" in shown("get", "all")


def test_kubectl_explain_tells_what_a_field_is_for(shown):
    told = " ".join(shown("explain", "alr.spec.population.generations").split())

    assert "Largest number of generations" in told
    assert "<integer>" in told
    assert "<Object>" in shown("explain", "autolfadsruns.spec.compute.workers")


def test_kubectl_tells_a_misspelled_field(cluster, namespace):
    run = {**with_values({"population.sise": 4}), "metadata": {"name": "reach", "namespace": namespace}}

    done = cluster.kubectl("apply", "-f", "-", actor="user", stdin=run, check=False)

    assert done.returncode == 1
    assert 'unknown field "spec.population.sise"' in done.stderr


def test_kubectl_wait_ends_when_the_run_is_complete(cluster, namespace, runs, eventually):
    runs.create(LEAST)
    waiting = subprocess.Popen(
        [
            str(cluster.binary("kubectl")),
            f"--kubeconfig={cluster.kubeconfig('user')}",
            f"--namespace={namespace}",
            "wait",
            "--for=condition=Complete",
            "--timeout=120s",
            "alr/reach",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    complete = {"type": "Complete", "status": "False", "reason": "Training"}

    def is_watched():
        events = [event for event in cluster.audited("user") if "objectRef" in event]
        return ("watch", namespace) in [(e["verb"], e["objectRef"].get("namespace")) for e in events]

    eventually(is_watched)

    runs.set_status(observedGeneration=1, conditions=[complete])
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(1)
    runs.set_status(conditions=[{**complete, "status": "True", "reason": "Succeeded"}])
    told, _ = waiting.communicate(timeout=120)

    assert waiting.returncode == 0
    assert "condition met" in told
