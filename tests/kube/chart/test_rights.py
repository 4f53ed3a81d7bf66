"""What the operator did in the tests beside what the chart lets it do: nothing is unused.

That none is missing is looked at when a cluster ends (../conftest.py). Comes last (conftest.py), and judges
only when all of tests/kube was run: of a part it knows nothing.
"""

from pathlib import Path

import pytest
import yaml

from helm.chart import GOLDEN_RIGHTS

pytestmark = pytest.mark.kube

KUBE = Path(__file__).parents[1]
# Granted and not used by the suite's operator, each with a reason.
UNUSED = {
    ("namespaces", "get"): "its tests name their installation; test_lifecycle.py does without, as another",
}


def granted():
    """(group, resource, verb, names) of every right."""
    things = [t for t in yaml.safe_load_all(GOLDEN_RIGHTS.read_text()) if "rules" in t]
    return {
        (group, resource, verb, tuple(rule.get("resourceNames", ())))
        for thing in things
        for rule in thing["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def allows(right, event):
    """Whether this right lets that request through."""
    thing = event["objectRef"]
    resource = "/".join(filter(None, (thing["resource"], thing.get("subresource"))))
    group, granted_resource, verb, names = right
    # Server-side apply of what is not there yet is a patch that needs the right to create as well.
    is_made = event["verb"] == "patch" and event["responseStatus"].get("code") == 201
    verbs = (event["verb"], "create") if is_made else (event["verb"],)
    is_same = (group, granted_resource) == (thing.get("apiGroup", ""), resource) and verb in verbs
    return is_same and (not names or thing.get("name") in names)


@pytest.fixture
def asked(cluster, request):
    """Every request of the suite's operator for an object."""
    run = {item.path for item in request.session.items if item.path.is_relative_to(KUBE)}
    missing = {path.name for path in KUBE.rglob("test_*.py") if path not in run}
    if missing:
        pytest.skip(
            f"judged only when all of tests/kube was run; without {', '.join(sorted(missing)[:3])} ..."
        )
    return [event for event in cluster.audited("operator") if "objectRef" in event]


def test_no_right_is_unused(asked):
    unused = {
        (resource, verb)
        for group, resource, verb, names in granted()
        if not any(allows((group, resource, verb, names), event) for event in asked)
    }

    assert unused - set(UNUSED) == set()
