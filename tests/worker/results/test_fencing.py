"""What a heartbeat writes beside the time, and what it must not touch."""

import threading

import pytest

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


class InterruptedStore:
    """Ctrl-C comes when the manifest is written, and nobody here knows yet."""

    def __init__(self, store):
        self._store = store
        self.is_pressed = False

    def __getattr__(self, name):
        return getattr(self._store, name)

    def write(self, *words):
        version = self._store.write(*words)
        if self.is_pressed:
            self.is_pressed = False
            raise KeyboardInterrupt
        return version


def test_a_heartbeat_after_an_interrupt_takes_nothing_back_that_was_committed(store):
    interrupted = InterruptedStore(store)
    hold = Hold(interrupted, MANIFEST, store.write("manifest.json", MANIFEST.to_bytes()))
    interrupted.is_pressed = True
    with pytest.raises(KeyboardInterrupt):
        hold.renew(generation=0, stop_reason="enough")

    hold.renew(seconds_left=5.0)  # the heartbeat, while Ray's processes end

    written = Manifest.model_validate_json(store.read("manifest.json").content)
    assert (written.generation, written.stop_reason, written.seconds_left) == (0, "enough", 5.0)
    assert hold.manifest == written


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
