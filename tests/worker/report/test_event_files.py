"""Event files, read back record by record: length, checksums, then a message (the format of TFRecord)."""

import csv
import struct

import numpy as np
import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event


def events(path):
    data, found = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        assert struct.unpack("<I", data[8:12])[0] == masked(data[:8])
        message = data[12 : 12 + length]
        assert struct.unpack("<I", data[12 + length : 16 + length])[0] == masked(message)
        found.append(Event.FromString(message))
        data = data[16 + length :]
    return found


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@pytest.fixture(scope="module")
def folders(reported):
    return sorted((reported / "tensorboard").iterdir())


def test_every_member_has_a_file_that_tensorboard_recognises(folders):
    assert [folder.name for folder in folders] == [f"member_{member:03d}" for member in range(4)]
    for folder in folders:
        (path,) = folder.iterdir()
        assert "tfevents" in path.name
        assert events(path)[0].file_version == "brain.Event:2"


def test_a_point_an_epoch_with_the_numbers_of_the_training_log(folders, reported):
    with (reported / "training_logs" / "member_001.csv").open() as file:
        rows = list(csv.DictReader(file))

    points = events(next(folders[1].iterdir()))[1:]

    assert [event.step for event in points] == [int(row["epoch"]) for row in rows]
    for event, row in zip(points, rows, strict=True):
        values = {value.tag: value.simple_value for value in event.summary.value}
        assert values["likelihood/valid_nll"] == np.float32(row["valid_nll"])
        assert values["population/generation"] == int(row["generation"])
        assert values["population/parent"] == int(row["parent"])
        assert values["hyperparameters/learning_rate"] == np.float32(row["learning_rate"])
        assert values["information/kl_initial_condition_nats"] == np.float32(row["kl_initial_condition_nats"])


def test_what_does_not_exist_has_no_curve(folders):
    tags = {value.tag for event in events(next(folders[0].iterdir())) for value in event.summary.value}

    assert "likelihood/valid_nll_held_out" not in tags  # nothing is held out


def test_an_epoch_of_a_diverged_member_has_a_gap(folders):
    points = events(next(folders[2].iterdir()))[1:]

    with_score = [
        any(value.tag == "likelihood/valid_nll" for value in event.summary.value) for event in points
    ]
    assert not all(with_score)
    assert with_score[-1]  # it went on as a copy
