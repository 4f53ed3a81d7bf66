"""`python -m autolfads_operator.selftest`: what `helm test` runs, to see that an operator is at work.

Makes a run that is suspended, so that nothing starts and nothing is written; waits until the operator has
accepted it; and removes it again. Needs only the rights to make, read and delete runs in one namespace.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence

from autolfads_operator.api import KubeApi
from autolfads_operator.errors import OperatorError
from autolfads_operator.kinds import RUNS, Object
from autolfads_operator.metrics import Metrics
from autolfads_operator.settings import OperatorSettings
from autolfads_spec import AutoLFADSError
from autolfads_spec.status import ConditionType

PAUSE_SECONDS = 0.5


class NotAcceptedError(AutoLFADSError):
    """No operator took notice of the run, or it was refused."""


def suspended_run(name: str, output: str) -> Object:
    """A valid run that does nothing."""
    return {
        "metadata": {"name": name},
        "spec": {
            "suspend": True,
            "data": {"uri": f"{output.rstrip('/')}.h5"},
            "output": {"uri": output},
            "compute": {"accelerator": {"type": "None"}},
        },
    }


async def check(api: KubeApi, namespace: str, name: str, output: str, seconds: float) -> str:
    """Make the run, wait until it is accepted, remove it; what the operator said.

    Raises:
      NotAcceptedError: if it was not accepted in time.
    """
    await api.delete(RUNS, namespace, name)
    deadline = time.monotonic() + seconds
    made = await _create(api, namespace, suspended_run(name, output), deadline)
    try:
        while time.monotonic() < deadline:
            found = await api.get(RUNS, namespace, name)
            accepted = condition(found or {}, ConditionType.ACCEPTED)
            if accepted.get("status") == "True":
                return str(accepted.get("message", ""))
            if accepted.get("status") == "False":
                raise NotAcceptedError(
                    f"wanted the run {namespace}/{name} to be accepted, found it refused: "
                    f"{accepted.get('message')}; chart and operator may be of different versions"
                )
            await asyncio.sleep(PAUSE_SECONDS)
    finally:
        await api.delete(RUNS, namespace, name, made["metadata"]["uid"])
    raise NotAcceptedError(
        f"wanted the run {namespace}/{name} to be accepted within {seconds:g} s, found no word of any "
        "operator; look at the log of the operator, and whether it watches this namespace"
    )


def condition(run: Object, kind: ConditionType) -> Object:
    """One condition of a run; empty when it does not say."""
    found = run.get("status", {}).get("conditions") or ()
    return next((dict(each) for each in found if each.get("type") == kind), {})


async def _create(api: KubeApi, namespace: str, run: Object, deadline: float) -> Object:
    """One of an earlier test may still be on its way out."""
    while True:
        try:
            return await api.create(RUNS, namespace, run)
        except OperatorError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(PAUSE_SECONDS)


async def _run(options: argparse.Namespace) -> str:
    async with await KubeApi.connect(OperatorSettings(), Metrics()) as api:
        return await check(api, options.namespace, options.name, options.output, options.seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 when an operator has accepted the run."""
    parser = argparse.ArgumentParser(prog="python -m autolfads_operator.selftest", description=__doc__)
    parser.add_argument("--namespace", required=True, help="where to make the run")
    parser.add_argument("--name", default="autolfads-helm-test", help="its name")
    parser.add_argument("--output", required=True, help="its output.uri; nothing is written there")
    parser.add_argument("--seconds", type=float, default=90, help="how long to wait (default: 90)")
    options = parser.parse_args(arguments)
    try:
        told = asyncio.run(_run(options))
    except AutoLFADSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"accepted: {told}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
