"""What calm faults are played on: a run that trains, its surroundings, and whether it was touched."""

import contextlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from kubernetes import client

from kube.cluster import Cluster
from kube.installation import Installation
from kube.lorenz import Lorenz
from kube.storage import Storage


@dataclass
class Stage:
    """What the faults happen to.

    Attributes:
      ended: exit statuses of the operator so far; it is started again as by a Deployment.
      machines: RayJob, pods and driver, once the run trains.
      unheard: what was written without an answer.
    """

    cluster: Cluster
    run: Lorenz
    storage: Storage
    installation: Installation
    start: Callable
    eventually: Callable
    ended: list[int] = field(default_factory=list)
    machines: tuple = ()
    unheard: list[str] = field(default_factory=list)

    def passes(self, generations):
        """Waits until so many more are committed, as the status says; nothing has happened to the run."""
        wanted = self.run.generations + generations
        self.eventually(lambda: self.run.generations >= wanted, seconds=120)
        self.is_untouched()

    def is_untouched(self):
        assert self.run.machines() == self.machines
        assert self.run.status["attempt"] == 1

    def changes(self, resource, code):
        """How many changes of operators to things in the run's namespace were answered so."""
        return sum(
            (event["verb"], event["objectRef"]["resource"], event["objectRef"].get("namespace"))
            == ("patch", resource, self.run.namespace)
            and event["responseStatus"].get("code") == code
            for event in self.cluster.audited("operator")
            if "objectRef" in event
        )


@contextlib.contextmanager
def another_namespace(cluster):
    name = f"elsewhere-{uuid.uuid4().hex[:6]}"
    core = client.CoreV1Api(cluster.client())
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)
