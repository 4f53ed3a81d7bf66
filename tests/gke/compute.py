"""Two pages of the Compute Engine API, regions.get and projects.get, with the quotas of a Project.

`compute.status` other than 200 makes every answer an error of that status; `compute.asked` are the paths so
far; `compute.url` is what the operator's compute_endpoint is set to.
"""

import contextlib
import http.server
import json
import threading
import urllib.parse

from gke.project import ALL_REGIONS, CLUSTER

PROJECT = f"/compute/v1/{CLUSTER.partition('/locations/')[0]}"
REGION = f"{PROJECT}/regions/us-central1"


class Compute(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, project):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.project, self.status, self.asked = project, 200, []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def page(self, path):
        """Status and document of one answer."""
        if self.status != 200:
            return self.status, {"error": {"code": self.status, "message": "refused by the test"}}
        names = [name for name in self.project.quotas if (name == ALL_REGIONS) == (path == PROJECT)]
        if path not in (PROJECT, REGION):
            return 404, {"error": {"code": 404, "message": f"The resource '{path}' was not found"}}
        quotas = [
            {"metric": name, "limit": self.project.quotas[name], "usage": self.project.usage(name)}
            for name in names
        ]
        return 200, {"name": path.rpartition("/")[2], "quotas": quotas}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        self.server.asked.append(path)
        status, document = self.server.page(path)
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(project):
    """A Compute that answers for as long as the `with` lasts."""
    server = Compute(project)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
