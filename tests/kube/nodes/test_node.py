"""A real kubelet runs our pods on this machine: image, limits, network, faults."""

import http.server
import threading

import pytest

from kube.nodes.node import start_node
from kube.nodes.pods import pod

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]


def test_pod_has_our_code_with_ray_and_tensorflow(cluster, namespace, run):
    code = (
        "import ray, tensorflow as tf; from lfads_worker import cli; print('sum', int(tf.reduce_sum([1, 2])))"
    )

    run(pod("code", "python", "-c", code, container={"resources": {"limits": {"nvidia.com/gpu": "1"}}}))

    assert "sum 3" in cluster.kubectl("logs", "code", "-n", namespace).stdout


@pytest.fixture
def local_url(node):
    """What a pod calls a server that listens on this machine's 127.0.0.1."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{node.loopback}:{server.server_port}"
        server.shutdown()


def test_pods_find_each_other_by_service_name_and_reach_this_machine(cluster, namespace, run, local_url):
    metadata = {"name": "web", "namespace": namespace}
    spec = {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"port": 8080}]}
    cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    urls = f"http://web.{namespace}.svc.cluster.local:8080", local_url
    code = f"from urllib.request import urlopen; print([urlopen(url).status for url in {urls}])"
    probe = {"readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1}}

    run(pod("web", "python", "-m", "http.server", "8080", container=probe), phase="Running")
    cluster.kubectl("wait", "pod/web", "-n", namespace, "--for=condition=Ready", "--timeout=60s")
    run(pod("client", "python", "-c", code, restartPolicy="OnFailure"))

    assert "[200, 200]" in cluster.kubectl("logs", "client", "-n", namespace).stdout
    through_server = f"/api/v1/namespaces/{namespace}/services/web:8080/proxy/"
    assert "Directory listing" in cluster.kubectl("get", "--raw", through_server).stdout


def test_memory_limit_holds(run):
    limit = {"resources": {"limits": {"memory": "64Mi"}}}

    status = run(pod("greedy", "python", "-c", "x = b'x' * (200 << 20)", container=limit), phase="Failed")

    assert status["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled"


def test_killed_pod_is_restarted_in_place(namespace, node, run, eventually):
    run(pod("victim", "sleep", "1000", restartPolicy="Always"), phase="Running")

    killed = node.kill_pod(namespace, "victim")

    assert killed == 1
    eventually(lambda: run.status("victim")["containerStatuses"][0]["restartCount"] == 1)
    before = run.status("victim")["containerStatuses"][0]["lastState"]["terminated"]
    assert before["exitCode"] == 137


def test_pod_goes_on_while_its_node_is_cut_off_and_while_its_kubelet_is_dead(
    cluster, namespace, node, run, eventually
):
    count = "import itertools, time\nfor n in itertools.count(): print(n, flush=True); time.sleep(0.1)"

    def counted():
        lines = cluster.kubectl("logs", "counter", "-n", namespace, check=False).stdout.split()
        return int(lines[-1]) if lines else 0

    run(pod("counter", "python", "-c", count), phase="Running")
    eventually(lambda: counted() > 0)
    node.disconnect()
    unreachable = cluster.kubectl(
        "logs", "counter", "-n", namespace, "--request-timeout=2s", check=False
    ).returncode
    node.connect()
    node.stop_kubelet()
    last = max(int(line.split()[-1]) for line in node.pod_log(namespace, "counter").splitlines())
    node.start_kubelet()

    assert unreachable
    eventually(lambda: counted() > last, seconds=60)
    assert run.status("counter")["containerStatuses"][0]["restartCount"] == 0


def test_machine_that_died_is_replaced_under_its_name(cluster, run):
    first = start_node(cluster, "node-b")
    first.kill()
    second = start_node(cluster, "node-b")
    try:
        run(pod("there", "true", nodeSelector={"kubernetes.io/hostname": "node-b"}))
    finally:
        first.close()
        second.close()

    assert cluster.kubectl("get", "node", "node-b", check=False).returncode
