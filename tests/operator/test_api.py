"""What answers of something else than a Kubernetes, or of a broken one, are taken for."""

import asyncio
import http.server
import threading

import pytest
from kubernetes.aio import client

from autolfads_operator.api import KubeApi
from autolfads_operator.errors import UnavailableError
from autolfads_operator.kinds import RUNS
from autolfads_operator.metrics import Metrics


@pytest.fixture
def ask():
    """What the coroutine function `work` returns of an API whose server answers everything with this."""
    servers = []

    def ask(status, content, work):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()

        async def connected():
            configuration = client.Configuration()
            configuration.host = f"http://127.0.0.1:{server.server_address[1]}"
            async with KubeApi(client.ApiClient(configuration=configuration), Metrics(), 5) as api:
                return await work(api)

        return asyncio.run(connected())

    yield ask
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("content", [b"<html>a proxy", b'{"items": [', b"\xff\xfe\xfd"])
def test_an_answer_that_is_no_json_is_none(ask, content):
    with pytest.raises(UnavailableError, match=r"wanted an answer to get .*; it is tried again"):
        ask(200, content, lambda api: api.get(RUNS, "lab", "reach"))
