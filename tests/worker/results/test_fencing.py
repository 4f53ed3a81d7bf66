"""What a heartbeat writes beside the time, and what it must not touch."""

import threading

from autolfads_spec.manifest import Manifest
from lfads_worker.results.fencing import Hold

MANIFEST = Manifest(
    run="reach",
    fingerprint="f" * 64,
    cohorts=((0, 1),),
    generations_asked=3,
    attempt=1,
    driver_epoch=1,
    driver="here",
    heartbeat="2026-11-23T00:00:00+00:00",
    versions={},
)


def test_a_heartbeat_tells_what_is_asked_for_each_time(store):
    version = store.write("manifest.json", MANIFEST.to_bytes())
    hold, enough = Hold(store, MANIFEST, version), threading.Event()
    asked, left = [7200.0, 60.0], []

    def written():
        return Manifest.model_validate_json(store.read("manifest.json").content)

    def telling():
        left.append(written().seconds_left)
        if not asked:
            enough.set()
            return {}
        return {"seconds_left": asked.pop(0)}

    with hold.alive(lambda: None, seconds=0.005, telling=telling):
        assert enough.wait(5)

    assert left[:3] == [None, 7200.0, 60.0]
    assert written().model_copy(update={"heartbeat": MANIFEST.heartbeat, "seconds_left": None}) == MANIFEST
