"""/livez, /readyz and /metrics, which tell the truth: they are served from a thread of their own.

A page that is served by the event loop can only say that the loop lives, by being there. This one can say
that the loop has been stuck for a minute. `Health` holds what is known; the server only asks it.
"""

import asyncio
import http.server
import threading
from collections.abc import Awaitable, Callable, Mapping

from autolfads_operator.metrics import CONTENT_TYPE

# A check gives None when all is well, else a sentence.
Check = Callable[[], str | None]
_REQUEST_SECONDS = 10  # somebody who sends half a request must not hold a thread for ever


class Health:
    """What /livez and /readyz say: the first sentence of a check that has something to say.

    Args:
      largest_lag_seconds: of the event loop, above which the process counts as stuck.
      monotonic: seconds that never go back.
    """

    def __init__(self, largest_lag_seconds: float, monotonic: Callable[[], float]) -> None:
        self._largest_lag_seconds, self._monotonic = largest_lag_seconds, monotonic
        self._beat_at = monotonic()
        self._live: dict[str, Check] = {"event loop": self._loop_problem}
        self._ready: dict[str, Check] = {}

    def add_live(self, name: str, check: Check) -> None:
        """The process must be started anew when this says something."""
        self._live[name] = check

    def add_ready(self, name: str, check: Check) -> None:
        """The operator does not serve runs while this says something."""
        self._ready[name] = check

    def beat(self) -> None:
        """The event loop is alive now."""
        self._beat_at = self._monotonic()

    @property
    def lag_seconds(self) -> float:
        """Time since the loop last gave a sign."""
        return self._monotonic() - self._beat_at

    def live_problems(self) -> list[str]:
        """Why the process must be started anew; empty when it need not."""
        return _problems(self._live)

    def ready_problems(self) -> list[str]:
        """Why no runs are served; empty when they are."""
        return _problems(self._live) + _problems(self._ready)

    def _loop_problem(self) -> str | None:
        lag = self.lag_seconds
        if lag < self._largest_lag_seconds:
            return None
        return f"wanted a turn within {self._largest_lag_seconds:g} s, found none for {lag:.0f} s"


def _problems(checks: Mapping[str, Check]) -> list[str]:
    found = []
    for name, check in list(checks.items()):
        try:
            problem = check()
        except Exception as error:  # a broken check is bad health too
            problem = f"{type(error).__name__}: {error}"
        if problem is not None:
            found.append(f"{name}: {problem}")
    return found


async def beat(
    health: Health,
    told: Callable[[float], None],
    *,
    every_seconds: float = 1,
    monotonic: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Give signs of life for ever, and tell how late each was."""
    while True:
        started = monotonic()
        health.beat()
        await sleep(every_seconds)
        told(max(0.0, monotonic() - started - every_seconds))


class HealthServer:
    """Serves the pages of `health` and `metrics` until it is closed."""

    def __init__(self, health: Health, metrics_page: Callable[[], bytes], host: str, port: int) -> None:
        class Handler(_Handler):
            pages = _pages(health, metrics_page)

        self._server = http.server.ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Serve nothing more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


_Page = Callable[[], tuple[int, str, bytes]]


def _pages(health: Health, metrics_page: Callable[[], bytes]) -> Mapping[str, _Page]:
    def of(problems: Callable[[], list[str]]) -> _Page:
        def page() -> tuple[int, str, bytes]:
            found = problems()
            text = "".join(f"{problem}\n" for problem in found) or "ok\n"
            return (503 if found else 200), "text/plain; charset=utf-8", text.encode()

        return page

    return {
        "/livez": of(health.live_problems),
        "/readyz": of(health.ready_problems),
        "/metrics": lambda: (200, CONTENT_TYPE, metrics_page()),
    }


class _Handler(http.server.BaseHTTPRequestHandler):
    pages: Mapping[str, _Page] = {}
    timeout = _REQUEST_SECONDS
    server_version, sys_version = "autolfads", ""

    def do_GET(self) -> None:
        page = self.pages.get(self.path.partition("?")[0])
        status, content_type, body = (
            page() if page else (404, "text/plain; charset=utf-8", b"wanted /livez, /readyz or /metrics\n")
        )
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Probes come every few seconds; what they find is in /metrics and in the events of the pod."""
