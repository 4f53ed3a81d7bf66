"""The fake Google Cloud for the tests beside; see fixtures.py."""

import asyncio

import pytest

from autolfads_operator.gke import ClusterManager, insecure
from autolfads_operator.pools import WantedPool
from gke.fixtures import INSTALL, cluster_manager  # noqa: F401 (a fixture)
from gke.project import CLUSTER, Project


class Clock:
    """Time that goes by when a test says so."""

    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds

    def advance(self, seconds):
        self.seconds += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def project(clock):
    """With a clock that stands still; an operation takes 60 s of it."""
    return Project(now=clock, operation_seconds=60)


@pytest.fixture
def ask(cluster_manager):  # noqa: F811
    """ask(lambda gke: gke.create(pool), ...): the last answer of our class, over Google's own client."""

    def run(*questions, install=INSTALL, cluster=CLUSTER, **options):
        async def all_of_them():
            gke = ClusterManager(cluster, install, insecure(cluster_manager.endpoint), **options)
            try:
                return [await question(gke) for question in questions][-1]
            finally:
                await gke.close()

        return asyncio.run(all_of_them())

    return run


@pytest.fixture
def pool():
    """pool(**changes): a wanted pool of L4 nodes."""

    def make(**changes):
        wanted = {
            "name": "alr-l4-0123abcd",
            "machine_type": "g2-standard-8",
            "accelerator": "nvidia-l4",
            "accelerators_per_node": 1,
            "provisioning": "OnDemand",
            "zones": (),
            "max_nodes": 4,
            "driver_version": "Default",
            "labels": {},
            "spec_hash": "0123abcd",
        }
        return WantedPool(**(wanted | changes))

    return make
