"""A real Kubernetes for the tests: `cluster`, one for the whole session, and `namespace`, one a test.

    cluster.etcd  .apiserver  .controller_manager  .scheduler  .kwok  .kuberay       its six processes

    process.start()      start and wait until it answers; does nothing when it runs
    process.kill()       SIGKILL, and wait until it is gone; start() brings it back on the same port
    process.stop()       SIGTERM, and SIGKILL after ten seconds
    process.restart()    stop() and start(); takes up changed .arguments (a list) and .environment (a dict)
    process.is_alive  .pid  .log (a Path)  .port

    cluster.url                         https://127.0.0.1:<port>
    cluster.folder                      a Path: certificates/, kubeconfigs/, logs/, audit.log
    cluster.kubeconfig(actor)           Path of an actor's kubeconfig
    cluster.add_actor(actor, user=..., groups=(...))    one more identity; its kubeconfig
    cluster.client(actor="admin")       kubernetes.client.ApiClient (synchronous) of an actor
    cluster.kubectl(*words, actor="admin", stdin=None, check=True)
                                        finished process with .stdout and .stderr; stdin may be text, an
                                        object (a dict) or several, which then go in as JSON
    cluster.apply(*objects, actor="admin")              server-side apply
    cluster.audited(actor, user=)       audit events so far (dicts: user, verb, objectRef, requestURI, ...)
    cluster.add_node(name, cpu="8", memory="32Gi", labels={}, taints=[], **{"nvidia.com/gpu": "1"})
                                        a KWOK node, Ready when it returns: pods on it "run" at once
    cluster.remove_node(name)
    cluster.add_process(name, program, arguments, is_ready=..., environment={})
                                        one more process, ended with the others; program is a Path or a name
    cluster.remove_process(process)
    cluster.wait_for_kinds()            every kind that is defined is served
    cluster.install_kuberay()           KubeRay's, until they are
    cluster.binary(name)                Path of kubelet, kubectl, etcd, ...
    eventually(question, seconds=60, pause=0.1)         fixture: first true answer; fails with the last

Actors and their rights (RBAC is on; nobody but admin is cluster-admin):

    admin      system:masters
    operator   system:serviceaccount:autolfads-system:autolfads-operator; rights from operator-rbac.yaml
    kuberay    the ClusterRole that KubeRay ships, and services/proxy
    kwok       the ClusterRole that KWOK ships
    user       ClusterRole edit, everything on autolfadsruns but their status, and a look at Ray's, everywhere

A real kubelet may join: KWOK keeps to nodes annotated kwok.x-k8s.io/node=fake. Its identity comes from
`add_actor("node-a", user="system:node:node-a", groups=("system:nodes",))` (the Node authorizer is on).
KubeRay reaches Ray's dashboard through the API server's service proxy, so pod addresses must be reachable
from this machine, and no DNS is needed for that part.
"""

import collections
import contextlib
import re
import uuid

import pytest
from kubernetes import client

from gke.fixtures import autoscaler, cluster_manager, project  # noqa: F401 (fixtures: a fake Google Cloud)
from kube.cluster import running_cluster, wait_until
from kube.installation import installation  # noqa: F401 (a fixture: KubeRay, which comes and goes)
from kube.lorenz import (  # noqa: F401 (fixtures: a run that really trains, and the same without Kubernetes)
    lorenz,
    lorenz_operator,
    lorenz_settings,
    recording,
    storage_address,
    undisturbed,
    worker_node,
)
from kube.operator_process import start  # noqa: F401 (a fixture: our operator)
from kube.runs import run  # noqa: F401 (a fixture: one AutoLFADSRun)
from kube.storage import storage  # noqa: F401 (a fixture: a proxy before the bucket)

LEFT_BY_RUNS = (
    ("autolfads.dev", "v1alpha1", "autolfadsruns"),
    ("ray.io", "v1", "rayjobs"),
    ("ray.io", "v1", "rayclusters"),
)


@pytest.fixture(scope="session")
def _running(request, tmp_path_factory):
    with running_cluster(tmp_path_factory.mktemp("cluster", numbered=True)) as cluster:
        request.config.pluginmanager.register(Rest(cluster))
        yield cluster
        assert refused(cluster.audited("operator")) == set(), "the chart's rights are too few"


class Rest:
    """Kills a cluster once its company of tests is over: an idle one takes a twentieth of a core."""

    def __init__(self, cluster):
        self._cluster = cluster

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item, nextitem):
        yield
        if nextitem is None or _company(item) != _company(nextitem):
            self._cluster.kill()


def _company(item):
    return item.get_closest_marker("xdist_group").args


def refused(events):
    """Rights that the operator lacks: what it asked to do with which kind, and was never let."""
    answers = collections.defaultdict(list)
    for event in events:
        status, thing = event.get("responseStatus", {}), event.get("objectRef", {})
        # Nothing can be made in a namespace that is being deleted; no right would help.
        if "being terminated" not in status.get("message", ""):
            kind = [thing.get(part, "") for part in ("apiGroup", "resource", "subresource")]
            answers[event["verb"], *(kind if thing else [event["requestURI"]])].append(status.get("code"))
    # An API server that is just starting refuses for seconds what it lets through once it has read the roles.
    return {asked for asked, codes in answers.items() if 403 in codes and not any(map(_is_let, codes))}


def _is_let(code):
    """Whether an answer was one of the thing itself, and be it that it is not there."""
    return code is not None and code not in (401, 403) and code < 500


@pytest.fixture
def cluster(_running):
    """The session's cluster, with every process running, whatever an earlier test has killed."""
    _running.start_missing()
    return _running


@pytest.fixture
def namespace(cluster, request):
    """A namespace of this test alone; what is left in it afterwards holds no other test up."""
    words = re.sub("[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))[:40].strip("-")
    name = f"{words}-{uuid.uuid4().hex[:6]}"
    client.CoreV1Api(cluster.client()).create_namespace({"metadata": {"name": name}})
    yield name
    cluster.start_missing()
    clear(cluster, name)


def clear(cluster, namespace):
    """Deletes runs, and what KubeRay made of them, whatever still holds them; and pods.

    Not the namespace: its controller asks for every kind there is, a hundred requests for each namespace.
    """
    custom = client.CustomObjectsApi(cluster.client())
    for group, version, kind in LEFT_BY_RUNS:
        where = (group, version, namespace, kind)
        with allowing(404):  # a test has taken the kind itself away
            custom.delete_collection_namespaced_custom_object(*where)
            for thing in custom.list_namespaced_custom_object(*where)["items"]:
                with allowing(404):
                    custom.patch_namespaced_custom_object(
                        *where, thing["metadata"]["name"], {"metadata": {"finalizers": None}}
                    )
    client.CoreV1Api(cluster.client()).delete_collection_namespaced_pod(namespace)


@contextlib.contextmanager
def allowing(status):
    try:
        yield
    except client.ApiException as error:
        if error.status != status:
            raise


@pytest.fixture
def eventually():
    """`eventually(question, seconds=60)`: its first true answer; fails with the last one."""
    return wait_until


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure names the logs, and the processes that were gone."""
    report = yield
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and cluster is not None:
        dead = [process.name for process in cluster.processes if not process.is_alive]
        gone = f"; not running: {', '.join(dead)}" if dead else ""
        report.sections.append(("cluster", f"logs: {cluster.folder / 'logs'}{gone}"))
    return report
