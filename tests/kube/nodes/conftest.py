"""`node`: a real node for the tests of a module, with two GPUs that are not there."""

import pytest

from kube.nodes.node import start_node


@pytest.fixture(scope="module")
def node(_running):
    node = start_node(_running, capacity={"nvidia.com/gpu": "2"})
    yield node
    node.close()
