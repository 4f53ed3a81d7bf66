"""A Cloud Storage that fails as it is told: a proxy before the emulator, a script for each request.

It also does what the emulator leaves out: an upload in parts keeps its precondition, and answers the last
part again when it is sent again.
"""

import contextlib
import gc
import http.client
import json
import re
import socket
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

# Google's client leaves connections open when an answer is bad.
LEFT_OPEN = "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class Answer:
    """What the emulator said."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


class Request:
    """What the client asked, and from which address."""

    def __init__(self, method, path, headers, body, client=None):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.client = client
        split = urllib.parse.urlsplit(path)
        self.query = dict(urllib.parse.parse_qsl(split.query))
        self.kind = self._kind(split.path)

    @property
    def name(self):
        """The object that is written, without its bucket."""
        found = re.search(rb'"name": ?"([^"]+)"', self.body[:2000])
        return found[1].decode() if found else None

    def _kind(self, path):
        if self.method == "POST" and path.startswith("/upload"):
            return "begin" if self.query.get("uploadType") == "resumable" else "write"
        if self.method == "PUT":
            return "part"
        if self.method == "DELETE":
            return "delete"
        if path.startswith("/download") or self.query.get("alt") == "media":
            return "read"
        return {"o": "list", "b": "bucket"}.get(path.rstrip("/").split("/")[-1], self._metadata_kind(path))

    def _metadata_kind(self, path):
        return "version" if "/o/" in path else "bucket"


class FaultyProxy(ThreadingHTTPServer):
    """Passes requests on; `script` may change what becomes of them.

    Attributes:
      requests: everything that was asked, in order.
      script: called with every request before it is passed on; returns None to pass it on, or a
        function of (request, pass_on) that returns an Answer, or None to end the connection.
    """

    def __init__(self, emulator):
        super().__init__(("127.0.0.1", 0), Handler)
        self.emulator = urllib.parse.urlsplit(emulator).netloc
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.requests = []
        self.script = lambda request: None
        self.uploads, self.finished = {}, {}
        self.connections = set()

    def handle_error(self, request, client_address):
        """A client that went away is what the tests are about."""

    def end(self):
        """Ends every connection, so that no thread is left."""
        self.shutdown()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def pass_on(self, request):
        connection = http.client.HTTPConnection(self.emulator, timeout=30)
        with contextlib.closing(connection):
            connection.request(request.method, request.path, request.body, request.headers)
            response = connection.getresponse()
            headers = [pair for pair in response.getheaders() if pair[0].lower() not in HOP_BY_HOP]
            return Answer(response.status, headers, response.read())

    def enforce(self, request):
        """A refusal where the emulator forgets to look at the precondition of an upload in parts."""
        if request.kind == "begin" and "ifGenerationMatch" in request.query:
            bucket = request.path.split("/b/")[1].split("/")[0]
            wanted = (bucket, json.loads(request.body)["name"], int(request.query["ifGenerationMatch"]))
            answer = self.pass_on(request) if self.holds(*wanted) else REFUSED
            upload = dict(answer.headers).get("Location")
            self.uploads[upload and urllib.parse.parse_qs(upload)["upload_id"][0]] = wanted
            return answer
        if request.kind == "part":
            upload = request.query["upload_id"]
            if upload not in self.finished:
                if upload in self.uploads and not self.holds(*self.uploads[upload]):
                    return REFUSED
                answer = self.pass_on(request)
                if answer.status != 200:
                    return answer
                self.finished[upload] = answer
            return self.finished[upload]
        return None

    def holds(self, bucket, name, generation):
        path = f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}"
        found = self.pass_on(Request("GET", path, {}, None))
        return generation == (0 if found.status == 404 else int(json.loads(found.body)["generation"]))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self):
        self.server.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body, client = self.rfile.read(length), self.client_address[0]
        request = Request(self.command, self.path, dict(self.headers), body, client)
        self.server.requests.append(request)
        fault = self.server.script(request)

        def pass_on(request):
            return self.server.enforce(request) or self.server.pass_on(request)

        answer = fault(request, pass_on) if fault else pass_on(request)
        if answer is None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        whole = getattr(answer, "whole_length", len(answer.body))
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(whole))
        self.end_headers()
        self.wfile.write(answer.body)
        if whole != len(answer.body):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

    def log_message(self, *arguments):
        pass


def refusal(status, message="no"):
    body = json.dumps({"error": {"code": status, "message": message}}).encode()
    return Answer(status, [("Content-Type", "application/json")], body)


REFUSED = refusal(412, "At least one of the pre-conditions you specified did not hold.")


@pytest.fixture
def proxy(bucket, storage_emulator, monkeypatch):
    """The proxy, which this process and its children take for Cloud Storage; see FaultyProxy."""
    server = FaultyProxy(storage_emulator)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.address)
    yield server
    server.end()
    thread.join()
    gc.collect()  # here and now: Google's client leaves connections to the collector when an answer is bad


@pytest.fixture
def faults(proxy):
    """What may go wrong with one request; `faults.once("write", faults.lost_reply)`."""
    return Faults(proxy)


class Faults:
    def __init__(self, proxy):
        self._proxy = proxy

    def once(self, kind, *faults, skip=0):
        """The next requests of a kind have these faults, one each; `skip` of them pass before."""
        left = [None] * skip + list(faults)
        self._proxy.script = lambda request: left.pop(0) if request.kind == kind and left else None

    def always(self, kind, fault):
        self._proxy.script = lambda request: fault if kind in (request.kind, "any") else None

    @staticmethod
    def status(status, message="no"):
        return lambda request, pass_on: refusal(status, message)

    @staticmethod
    def lost_request(request, pass_on):
        return None

    @staticmethod
    def lost_reply(request, pass_on):
        pass_on(request)

    @staticmethod
    def cut(request, pass_on):
        answer = pass_on(request)
        answer.whole_length = len(answer.body)
        answer.body = answer.body[: len(answer.body) // 2]
        return answer

    @staticmethod
    def changed(request, pass_on):
        answer = pass_on(request)
        answer.body = bytes([answer.body[0] ^ 1]) + answer.body[1:]
        return answer
