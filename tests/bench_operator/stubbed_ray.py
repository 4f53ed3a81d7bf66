"""Ray's job API for every head at once, and the drivers behind it: `python -m bench_operator.stubbed_ray`.

KWOK's pods all have this machine's address, so that KubeRay, which asks a head through the API server's
service proxy, ends up here. Jobs are told apart by their names, which the operator gives. Everything else
between the operator and KubeRay is real.
"""

import argparse
import http.server
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench_operator.drivers import Drivers, Pace

JOBS = "/api/jobs/"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


def serve(address: str, port: int, drivers: Drivers) -> Server:
    """Ray's dashboard; start it with `serve_forever`."""

    class Handler(_Handler):
        jobs = drivers

    return Server((address, port), Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    jobs: Drivers
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits for the acknowledgement of its headers

    def do_GET(self) -> None:
        submission = self.path.partition(JOBS)[2].partition("/")[0]
        driver = self.jobs.find(submission)
        if driver is None:
            self._answer(404, {"message": f"no job {submission}"})
            return
        ended = {} if driver.status == "RUNNING" else {"end_time": round(time.time() * 1000)}
        job = {
            "job_id": submission,
            "submission_id": submission,
            "status": driver.status,
            "start_time": round(driver.started * 1000),
            "message": "played",
        }
        self._answer(200, job | ended)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        submission, _, verb = self.path.partition(JOBS)[2].partition("/")
        if verb == "stop":
            self.jobs.stop(submission)
            self._answer(200, {"stopped": True})
            return
        submission = json.loads(body)["submission_id"]
        if self.jobs.find(submission) is None:
            self.jobs.start(submission)
        self._answer(200, {"job_id": submission, "submission_id": submission})

    def _answer(self, code: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Every head is asked every three seconds."""


def committed_to(path: Path) -> Callable[[str, int, float], None]:
    """Notes every commit as a line of a file."""
    file = path.open("a", buffering=1, encoding="utf-8")

    def told(run: str, generation: int, at: float) -> None:
        file.write(json.dumps([run, generation, at]) + "\n")

    return told


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--address", required=True)
    words.add_argument("--port", type=int, default=8265)
    words.add_argument("--root", required=True)
    words.add_argument("--commits", type=Path, required=True)
    words.add_argument("--heartbeat-seconds", type=float, default=Pace.heartbeat_seconds)
    words.add_argument("--generation-seconds", type=float, default=Pace.generation_seconds)
    chosen = words.parse_args()
    sys.setswitchinterval(0.0005)  # a head answers at once, however busy the drivers are
    pace = Pace(chosen.heartbeat_seconds, chosen.generation_seconds)
    drivers = Drivers(chosen.root, pace, committed_to(chosen.commits))
    serve(chosen.address, chosen.port, drivers).serve_forever()


if __name__ == "__main__":
    main()
