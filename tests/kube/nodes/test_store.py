"""The containerd root that nodes share: what a machine without caches makes, from images of a few bytes."""

import subprocess

import pytest

from kube.nodes import oci, programs
from kube.nodes.containerd import PAUSE, Containerd
from kube.nodes.enclosure import Enclosure
from kube.nodes.store import SNAPSHOTS, lay_store, make_store

TAGS = ("localhost/first:test", "localhost/second:test")

pytestmark = pytest.mark.kube


def test_a_store_has_the_images_that_were_pushed_and_a_node_finds_them_there(tmp_path):
    programs.need_programs()

    def push(tag, target):
        archive = tmp_path / "archive.tar"
        oci.write_archive(archive, tag, oci.layer({"name": tag.encode()}), User="1000")
        return subprocess.Popen(["dd", f"if={archive}", f"of={target.split(':')[1]}", "status=none"])

    make_store(push, TAGS, tmp_path)

    machine = Enclosure(tmp_path / "nodes", tmp_path / "logs")
    try:
        lay_store(tmp_path / "store", machine)
        node = Containerd(machine)
        for tag in TAGS:
            assert node.image(tag)[1]["config"] == {"User": "1000"}
        assert node.image(PAUSE)[1]["config"]["Entrypoint"] == ["/pause", "-P"]
        node.stop()
    finally:
        machine.close()
    names = {path.read_text() for path in (tmp_path / "store" / SNAPSHOTS).glob("*/fs/name")}
    assert names == set(TAGS)
    assert not (tmp_path / "pipe").exists()
