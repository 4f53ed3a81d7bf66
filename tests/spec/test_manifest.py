import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from autolfads_spec.manifest import BestMember, CommittedGeneration, Lease, Manifest, StoredFile

FILE = StoredFile(name="generations/000000.json", sha256="ab", bytes=3)


def manifest(**changes):
    fields = {
        "run": "toy",
        "fingerprint": "ab",
        "cohorts": ((0, 1), (2,)),
        "generations_asked": 4,
        "attempt": 1,
        "driver_epoch": 2,
        "driver": "host, process 1",
        "heartbeat": "2030-01-31T18:00:00+00:00",
        "versions": {"numpy": "2"},
    }
    return Manifest(**{**fields, **changes})


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_comes_back_to_the_last_bit(score):
    best = BestMember(generation=0, member=1, score=score, hyperparameters={"learning_rate": score})

    back = Manifest.model_validate_json(manifest(best=best).to_bytes())

    assert math.copysign(1, back.best.score) == math.copysign(1, score)
    assert back.best == best


def test_training_seconds_are_those_of_all_generations():
    entries = tuple(
        CommittedGeneration(
            generation=n, record=FILE, seconds=n + 1.5, commit_seconds=0.1, committed_at="2030"
        )
        for n in range(2)
    )

    assert manifest(generations=entries).training_seconds == 4.0


def test_fields_of_a_later_version_are_ignored():
    content = manifest().to_bytes().replace(b"{", b'{"colour": "blue",', 1)

    assert Manifest.model_validate_json(content) == manifest()


def test_another_format_is_refused():
    content = manifest().to_bytes().replace(b"autolfads manifest 1", b"autolfads manifest 9")

    with pytest.raises(ValidationError):
        Manifest.model_validate_json(content)


def test_a_new_lease_is_nobodys():
    assert (Lease().attempt, Lease().driver_epoch) == (1, 0)
