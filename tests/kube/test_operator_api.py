"""The operator's requests on a real API server, with the operator's own rights."""

import asyncio
import contextlib
import uuid

import pytest

from autolfads_operator import api as kube_api
from autolfads_operator.api import ForbiddenError, KubeApi, NotServedError
from autolfads_operator.errors import OutdatedError, RefusedError, UnavailableError
from autolfads_operator.kinds import CONFIG_MAPS, CRDS, RAY_JOBS, RUNS
from autolfads_operator.manifests.names import FIELD_MANAGER
from autolfads_operator.metrics import Metrics
from autolfads_operator.settings import OperatorSettings

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]


def with_api(cluster, work, actor="operator"):
    """What the coroutine function `work` returns of an API with an actor's rights."""

    async def connected():
        settings = OperatorSettings(kubeconfig=str(cluster.kubeconfig(actor)))
        async with await KubeApi.connect(settings, Metrics()) as api:
            return await work(api)

    return asyncio.run(connected())


def config_map(name="c", **data):
    return {"metadata": {"name": name}, "data": data}


# The requests themselves.


def test_a_field_that_the_crd_does_not_know_yet_is_refused_and_says_what_to_install(cluster, namespace):
    """The server answers with 500, as if trying again helped."""
    job = {"metadata": {"name": "newer"}, "spec": {"rayClusterSpec": {}, "ofTheNextVersion": 1}}

    async def work(api):
        with pytest.raises(RefusedError, match=r"spec\.ofTheNextVersion.*; the CRD is older .*: install"):
            await api.apply(RAY_JOBS, namespace, job)
        return await api.get(RAY_JOBS, namespace, "newer")

    assert with_api(cluster, work) is None


def test_applying_with_a_uid_changes_this_very_object_or_nothing(cluster, namespace):
    async def work(api):
        made = await api.apply(CONFIG_MAPS, namespace, config_map(a="1"))
        again = await api.apply(CONFIG_MAPS, namespace, config_map(a="1"))
        other = {"metadata": {"name": "c", "uid": str(uuid.uuid4())}, "data": {"a": "2"}}
        with pytest.raises(OutdatedError):
            await api.apply(CONFIG_MAPS, namespace, other)
        other["metadata"]["name"] = "not-there"
        with pytest.raises(OutdatedError):
            await api.apply(CONFIG_MAPS, namespace, other)
        return made, again, await api.get(CONFIG_MAPS, namespace, "not-there")

    made, again, absent = with_api(cluster, work)
    assert made["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]
    assert [entry["manager"] for entry in made["metadata"]["managedFields"]] == [FIELD_MANAGER]
    assert absent is None


def test_patches_with_a_test_that_fails_change_nothing(cluster, namespace):
    async def work(api):
        await api.apply(CONFIG_MAPS, namespace, config_map(a="1"))
        operations = [
            {"op": "test", "path": "/data/a", "value": "9"},
            {"op": "add", "path": "/data/b", "value": "2"},
        ]
        with pytest.raises(RefusedError):
            await api.patch(CONFIG_MAPS, namespace, "c", operations)
        operations[0]["value"] = "1"
        changed = await api.patch(CONFIG_MAPS, namespace, "c", operations)
        return changed["data"], await api.patch(CONFIG_MAPS, namespace, "not-there", operations)

    assert with_api(cluster, work) == ({"a": "1", "b": "2"}, None)


def test_deleting_spares_another_object_of_the_name(cluster, namespace):
    async def work(api):
        made = await api.create(CONFIG_MAPS, namespace, config_map())
        with pytest.raises(OutdatedError):
            await api.create(CONFIG_MAPS, namespace, config_map())
        await api.delete(CONFIG_MAPS, namespace, "c", str(uuid.uuid4()))
        spared = await api.get(CONFIG_MAPS, namespace, "c")
        await api.delete(CONFIG_MAPS, namespace, "c", made["metadata"]["uid"])
        await api.delete(CONFIG_MAPS, namespace, "c", made["metadata"]["uid"])
        return spared, await api.get(CONFIG_MAPS, namespace, "c")

    spared, gone = with_api(cluster, work, actor="admin")
    assert spared is not None
    assert gone is None


def test_long_lists_come_in_pages_and_names_come_without_the_rest(cluster, namespace, monkeypatch):
    monkeypatch.setattr(kube_api, "PAGE", 2)

    async def work(api):
        for number in range(5):
            await api.create(CONFIG_MAPS, namespace, config_map(f"c{number}", big="x" * 1000))
        return await api.list_all(CONFIG_MAPS, namespace), await api.list_names(CONFIG_MAPS, namespace)

    whole, names = with_api(cluster, work, actor="admin")
    mine = [thing for thing in whole if thing["metadata"]["name"] != "kube-root-ca.crt"]
    assert sorted(thing["metadata"]["name"] for thing in mine) == [f"c{number}" for number in range(5)]
    assert {thing["metadata"]["uid"] for thing in names} == {thing["metadata"]["uid"] for thing in whole}
    assert all("data" not in thing for thing in names)


def test_kinds_are_served_or_not(cluster):
    async def work(api):
        crd = await api.get(CRDS, None, "rayjobs.ray.io")
        version = await api.get_version(CRDS, None, "rayjobs.ray.io")
        strange = RUNS._replace(group="nowhere.example")
        served = [
            await api.serves(kind) for kind in (RUNS, RAY_JOBS, strange, RUNS._replace(plural="others"))
        ]
        for ask in (api.list_all, api.list_names):
            with pytest.raises(NotServedError):
                await ask(strange)
        return served, version == crd["metadata"]["resourceVersion"]

    assert with_api(cluster, work, actor="admin") == ([True, True, False, False], True)


def test_trouble_is_told_apart(cluster, namespace):
    async def stranger(api):
        with pytest.raises(ForbiddenError, match="check the operator's role"):
            await api.list_all(CONFIG_MAPS, "kube-system")

    async def work(api):
        with pytest.raises(NotServedError):
            await api.apply(RUNS, namespace, {"metadata": {"name": "not-there"}, "status": {}}, "status")
        with pytest.raises(RefusedError, match="correct the object"):
            await api.apply(CONFIG_MAPS, namespace, config_map("Not_a_name"))

    cluster.add_actor("stranger", user="stranger")
    with_api(cluster, stranger, actor="stranger")
    with_api(cluster, work)


def test_a_server_that_is_away_is_unavailable_and_is_used_again_when_it_is_back(cluster, namespace):
    async def work(api):
        assert await api.serves(RUNS)
        await asyncio.to_thread(cluster.apiserver.kill)
        with pytest.raises(UnavailableError, match="tried again"):
            await api.get(CONFIG_MAPS, namespace, "c")
        await asyncio.to_thread(cluster.apiserver.start)
        return await api.serves(RUNS)

    assert with_api(cluster, work)


def test_the_client_leaves_no_connection_open(cluster):
    async def work(api):
        with contextlib.suppress(NotServedError):
            await api.get(CONFIG_MAPS, "default", "none")

    with_api(cluster, work)
