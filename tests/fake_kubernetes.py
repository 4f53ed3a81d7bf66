"""A Kubernetes in memory, as `api.KubeApi` shows it, for tests of the operator's edges in milliseconds.

It has names, uids, versions, preconditions and finalizers as far as these tests need them; it has no
schema, no defaults, no field managers and no rights. What hangs on those is tested in tests/kube.
"""

import copy
import itertools

from autolfads_operator.api import NotServedError
from autolfads_operator.errors import OutdatedError, RefusedError
from autolfads_operator.kinds import EVENTS, RUNS

NOW = "2030-01-01T00:00:00Z"


class FakeKubernetes:
    """Objects by kind, namespace and name.

    Attributes:
      requests: of every call, what it was: (verb, kind, name).
      broken: called with (verb, kind, name) before each; raises when the request is to fail.
      not_served: kinds that are not served.
    """

    def __init__(self):
        self.things = {}
        self.requests = []
        self.broken = lambda verb, kind, name: None
        self.not_served = set()
        self._numbers = itertools.count(100)

    def add(self, kind, thing):
        """An object as somebody else makes it."""
        thing = copy.deepcopy(thing)
        metadata = thing["metadata"]
        number = next(self._numbers)
        metadata.setdefault("uid", f"uid-{number}")
        metadata.setdefault("creationTimestamp", NOW)
        metadata.setdefault("generation", 1)
        metadata["resourceVersion"] = str(number)
        thing = {"apiVersion": kind.api_version, "kind": kind.kind, **thing}
        self.things[kind, metadata["namespace"], metadata["name"]] = thing
        return copy.deepcopy(thing)

    def of(self, kind):
        """All objects of a kind, by name."""
        return {name: thing for (k, _, name), thing in self.things.items() if k == kind}

    def change(self, kind, namespace, name, **parts):
        """Somebody else changes parts of an object."""
        thing = self.things[kind, namespace, name]
        thing.update(copy.deepcopy(parts))
        thing["metadata"]["generation"] += "spec" in parts
        self._bump(thing)
        return copy.deepcopy(thing)

    async def get(self, kind, namespace, name):
        self._note("get", kind, name)
        return copy.deepcopy(self.things.get((kind, namespace, name)))

    async def get_version(self, kind, namespace, name):
        thing = await self.get(kind, namespace, name)
        return None if thing is None else thing["metadata"]["resourceVersion"]

    async def list_all(self, kind, namespace=None, labels=None):
        self._note("list", kind, None)
        if kind in self.not_served:
            raise NotServedError(f"no {kind.plural}")
        return [copy.deepcopy(thing) for thing in self.of(kind).values()]

    async def list_names(self, kind, namespace=None, labels=None):
        return [{"metadata": thing["metadata"]} for thing in await self.list_all(kind, namespace, labels)]

    async def apply(self, kind, namespace, body, subresource=None):
        name = body["metadata"]["name"]
        self._note(f"apply {subresource}" if subresource else "apply", kind, name)
        thing = self.things.get((kind, namespace, name))
        if thing is None:
            if subresource or "uid" in body["metadata"]:
                raise NotServedError(f"no {name}")
            return self.add(kind, body | {"metadata": {"namespace": namespace, **body["metadata"]}})
        if body["metadata"].get("uid", thing["metadata"]["uid"]) != thing["metadata"]["uid"]:
            raise OutdatedError(f"another {name}")
        for part in [subresource] if subresource else [key for key in body if key != "metadata"]:
            thing[part] = {**thing.get(part, {}), **copy.deepcopy(body[part])} if subresource else body[part]
        self._bump(thing)
        return copy.deepcopy(thing)

    async def create(self, kind, namespace, body):
        name = body["metadata"]["name"]
        self._note("create", kind, name)
        if (kind, namespace, name) in self.things:
            raise OutdatedError(f"{name} is there already")
        return self.add(kind, body | {"metadata": {"namespace": namespace, **body["metadata"]}})

    async def patch(self, kind, namespace, name, operations):
        self._note("patch", kind, name)
        thing = self.things.get((kind, namespace, name))
        if thing is None:
            return None
        changed = copy.deepcopy(thing)
        for operation in operations:
            *way, last = operation["path"].strip("/").split("/")
            holder = changed
            for step in way:
                holder = holder[int(step) if isinstance(holder, list) else step]
            if operation["op"] == "test" and holder.get(last) != operation["value"]:
                raise RefusedError(f"test of {operation['path']} failed")
            if operation["op"] == "add":
                holder[last] = copy.deepcopy(operation["value"])
        self.things[kind, namespace, name] = changed
        self._bump(changed)
        self._collect(kind, namespace, name)
        return copy.deepcopy(changed)

    async def delete(self, kind, namespace, name, uid=None):
        self._note("delete", kind, name)
        thing = self.things.get((kind, namespace, name))
        if thing is None or uid not in (None, thing["metadata"]["uid"]):
            return
        thing["metadata"]["deletionTimestamp"] = NOW
        self._bump(thing)
        self._collect(kind, namespace, name)

    async def serves(self, kind):
        self._note("serves", kind, None)
        return kind not in self.not_served

    def reasons(self):
        """Of all events, in the order in which they were posted."""
        return [event["reason"] for event in self.of(EVENTS).values()]

    def status(self, name):
        """Of a run."""
        return self.of(RUNS)[name].get("status", {})

    def _note(self, verb, kind, name):
        self.requests.append((verb, kind.plural, name))
        self.broken(verb, kind, name)

    def _bump(self, thing):
        thing["metadata"]["resourceVersion"] = str(next(self._numbers))

    def _collect(self, kind, namespace, name):
        metadata = self.things[kind, namespace, name]["metadata"]
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            del self.things[kind, namespace, name]
