"""What tests of the operator's pure core share: a run as it stands in a cluster, settings, the simulator."""

import importlib.util
import sys
from pathlib import Path

import pytest

from autolfads_operator import actions, plan
from autolfads_operator.settings import OperatorSettings
from autolfads_spec import load_run

# What is done beside everything else.
BESIDE = (actions.PostEvent, actions.WriteCost)


@pytest.fixture(scope="session")
def simulator():
    """The module `simulator`."""
    return _loaded("simulator")


@pytest.fixture(scope="session")
def simulated_cloud(simulator):
    """The module `simulated_cloud`."""
    return _loaded("simulated_cloud")


@pytest.fixture(scope="session")
def simulated_lab(simulated_cloud):
    """The module `simulated_lab`."""
    for part in ("simulated_bill", "simulated_lab_run"):
        _loaded(part)
    return _loaded("simulated_lab")


def _loaded(word):
    name = f"operator_{word}"
    specification = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{word}.py"))
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def terms():
    return OperatorSettings(worker_image="registry.example/worker:1", worker_env={"A": "b"})


@pytest.fixture(scope="session")
def make_run():
    """Makes a run from camelCase blocks of its spec."""

    def make(name="reach", **blocks):
        spec = {
            "data": {"uri": "gs://lab/data/reach.h5"},
            "output": {"uri": "gs://lab/runs/reach"},
            "compute": {"accelerator": {"type": "nvidia-l4"}, "workers": {"desired": 2}},
            "population": {"size": 4, "generations": 3},
        }
        for key, value in blocks.items():
            spec[key] = {**spec.get(key, {}), **value} if isinstance(value, dict) else value
        content = {
            "apiVersion": "autolfads.dev/v1alpha1",
            "kind": "AutoLFADSRun",
            "metadata": {"name": name, "namespace": "lab"},
            "spec": spec,
        }
        return load_run(content)

    return make


@pytest.fixture
def make_world(simulator, make_run, terms):
    """Makes a world whose run has got as far as a phase, without faults; more keywords are spec blocks."""

    def make(phase="Pending", generations=3, **blocks):
        world = simulator.World(make_run(**blocks), terms, generations)
        operator = simulator.Operator(world)
        for _ in range(60):
            if (world.status.phase or "Pending") == phase:
                return world
            operator.turn()
            if (world.status.phase or "Pending") == phase:
                return world
            world.kuberay_step()
            operator.turn()
            if world.status.phase == phase:
                return world
            world.driver_step()
            world.pass_time(10)
        raise AssertionError(f"never got to {phase}, but to {world.status.phase}")

    return make


@pytest.fixture
def decide(terms):
    """What the plan says of an observation: its actions, events and sums of money apart, and its status."""

    def decide(observed):
        found = plan.plan(observed, terms)
        doings = [action for action in found.actions if not isinstance(action, BESIDE)]
        return doings, found.status

    return decide


@pytest.fixture
def told():
    """A condition of a status as (status, reason)."""

    def told(status, kind):
        found = next(c for c in status.conditions if c.type == kind)
        return found.status, found.reason

    return told


@pytest.fixture(scope="session")
def cloud_terms():
    """Of an operator that makes node pools."""
    cluster = "projects/lab/locations/us-central1/clusters/atlas"
    return OperatorSettings(
        worker_image="registry.example/worker:1", cluster=cluster, install_id="lab-install"
    )
