"""Fixtures of the fake Google Cloud; a conftest imports those it needs: `from gke.fixtures import ...`.

project             a Project (interface at the top of gke/project.py) with the wall clock
cluster_manager     the same Project, served: .endpoint (gRPC) and .compute (a gke.compute.Compute)
cluster_manager.settings    for an operator process: start(**cluster_manager.settings)
autoscaler          nodes for its pools in the test cluster `cluster` (tests/kube), as GKE would make
                    them: see gke/autoscaler.py
"""

import pytest

from gke import cluster_manager as grpc_server
from gke import compute
from gke.autoscaler import Autoscaler
from gke.project import CLUSTER, Project

INSTALL = "lab-install"


@pytest.fixture
def project():
    return Project()


@pytest.fixture
def cluster_manager(project):
    with grpc_server.serving(project) as endpoint, compute.serving(project) as server:
        project.endpoint, project.compute = endpoint, server
        project.settings = {
            "CLUSTER": CLUSTER,
            "INSTALL_ID": INSTALL,
            "CLUSTER_MANAGER_ENDPOINT": endpoint,
            "COMPUTE_ENDPOINT": server.url,
            "CLUSTER_BUSY_SECONDS": "0.2",
        }
        yield project


@pytest.fixture
def autoscaler(cluster, cluster_manager):
    with Autoscaler(cluster_manager, cluster) as running:
        yield running
