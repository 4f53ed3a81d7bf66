"""What the nodes under our workers are, asked of Kubernetes once for each; an edge.

Only prices hang on it. So without the right to read nodes, which are nobody's namespace, everything goes on,
and the run's spec tells what its machines are.
"""

import collections
import logging
import time
from collections.abc import Callable, Iterable

from autolfads_operator import objects
from autolfads_operator.api import ForbiddenError, KubeApi
from autolfads_operator.kinds import NODES
from autolfads_operator.observed import Machine, Pod, PodRole

logger = logging.getLogger(__name__)

_REMEMBERED = 10_000  # nodes
ASK_AGAIN_SECONDS = 600.0  # after a refusal; somebody may give the right


class Nodes:
    """Nodes by name.

    Args:
      monotonic: seconds that never go back.
    """

    def __init__(self, api: KubeApi, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._api, self._monotonic = api, monotonic
        # By pod as well: a spot machine that comes back has its old name and may be another.
        self._known: collections.OrderedDict[tuple[str, str], Machine] = collections.OrderedDict()
        self._refused_at: float | None = None

    @property
    def denied(self) -> bool:
        """Whether nodes may not be read."""
        at = self._refused_at
        return at is not None and self._monotonic() - at < ASK_AGAIN_SECONDS

    async def under(self, pods: Iterable[Pod]) -> dict[str, Machine]:
        """The nodes that workers are on, by name, as far as they can be read."""
        found = {}
        for pod in pods:
            if pod.role is not PodRole.WORKER or pod.node is None:
                continue
            machine = self._known.get((pod.node, pod.name)) or await self._ask(pod.node, pod.name)
            if machine is not None:
                found[pod.node] = machine
        return found

    async def _ask(self, node: str, pod: str) -> Machine | None:
        if self.denied:
            return None
        try:
            thing = await self._api.get(NODES, None, node)
        except ForbiddenError as error:
            self._refused_at = self._monotonic()
            logger.warning("costs are counted by what the specs say of machines: %s", error)
            return None
        if thing is None:
            return None
        machine = self._known[(node, pod)] = objects.machine_of(thing)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return machine
