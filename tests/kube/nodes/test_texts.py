"""The parts of a node that are pure: images as files, settings as texts."""

import io
import json
import tarfile

import yaml

from kube.nodes import kubelet, oci
from kube.nodes.enclosure import LOOPBACK


def contents(archive):
    given = {"fileobj" if isinstance(archive, io.BytesIO) else "name": archive}
    with tarfile.open(**given) as opened:
        return {entry.name: opened.extractfile(entry).read() for entry in opened}


def test_layer_is_the_same_bytes_for_the_same_files():
    assert oci.layer({"b": b"2", "a": b"1"}) == oci.layer({"a": b"1", "b": b"2"})


def test_image_names_every_part_by_its_digest(tmp_path):
    top = oci.layer({"etc/one": b"content"})

    oci.write_archive(tmp_path / "image.tar", "localhost/one:x", top, Entrypoint=["/one"])

    files = contents(tmp_path / "image.tar")
    (entry,) = json.loads(files["index.json"])["manifests"]
    manifest = json.loads(files["blobs/sha256/" + entry["digest"][7:]])
    config = json.loads(files["blobs/sha256/" + manifest["config"]["digest"][7:]])
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
    assert config["config"] == {"Entrypoint": ["/one"]}
    layer = files["blobs/sha256/" + manifest["layers"][0]["digest"][7:]]
    assert list(contents(io.BytesIO(layer))) == ["etc/one"]
    blobs = {name.rpartition("/")[2]: content for name, content in files.items() if "blobs" in name}
    assert all(oci.digest(content) == f"sha256:{name}" for name, content in blobs.items())


def test_server_is_found_from_inside_under_the_name_of_its_certificate():
    cluster = {"server": "https://127.0.0.1:6443", "certificate-authority-data": "eA=="}
    outside = yaml.safe_dump({"clusters": [{"name": "test", "cluster": cluster}], "users": []})

    inside = yaml.safe_load(kubelet.from_inside(outside))

    assert inside["clusters"][0]["cluster"] == {
        "server": f"https://{LOOPBACK}:6443",
        "tls-server-name": "127.0.0.1",
        "certificate-authority-data": "eA==",
    }
