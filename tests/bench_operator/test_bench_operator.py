"""The benchmark itself, with a handful of runs: it measures something, and says so on a page."""

import json
import os
import subprocess
import sys

import pytest

from bench_operator import page
from bench_operator.laboratory import with_address
from bench_operator.sampling import Call, Sample, histogram_quantiles, per_minute
from bench_operator.summary import spread
from kube.cluster import ROOT


def test_quantiles_of_a_histogram_are_those_between_two_samples():
    def sample(*counts):
        edges = ("0.1", "1.0", "+Inf")
        metrics = {
            f'x_bucket{{le="{edge}"}}': float(count) for edge, count in zip(edges, counts, strict=True)
        }
        return Sample(0.0, metrics, {}, 0.0)

    median, p90, p100 = histogram_quantiles(sample(7, 7, 7), sample(15, 17, 17), "x", (0.5, 0.9, 1.0))

    assert median == pytest.approx(0.1 * 5 / 8)
    assert p90 == pytest.approx(0.1 + 0.9 * 1 / 2)
    assert p100 == pytest.approx(1.0)


def test_calls_are_counted_within_the_stretch_only():
    asked = [(9.0, "get"), (10.0, "get"), (39.0, "patch"), (40.0, "get")]
    calls = [Call(at, verb, "pods", 0.01) for at, verb in asked]

    assert per_minute(calls, 10, 40)["by_verb"] == {"get": 2.0, "patch": 2.0}


def test_the_spread_of_nothing_is_nothing():
    assert spread([]) == {"median": None, "p95": None, "max": None}
    assert spread([1.0, 2.0, 9.0]) == {"median": 2.0, "p95": 9.0, "max": 9.0}


def test_stages_of_another_form_are_refused():
    with pytest.raises(ValueError, match="found none"):
        with_address("podIP: 1.2.3.4", "192.0.2.7")


def test_numbers_are_cut_to_what_was_measured():
    assert page.small({"a": [1.23456, 2], "began": 1_800_000_000.5}) == {
        "a": [1.235, 2],
        "began": 1_800_000_000.5,
    }


# A quarter of a minute has to be enough.
QUICK = {
    "AUTOLFADS_POLL_RUNNING_SECONDS": "2",
    "AUTOLFADS_STATUS_INTERVAL_SECONDS": "1",
    "AUTOLFADS_DELETE_WAIT_SECONDS": "2",
}


@pytest.mark.kube
@pytest.mark.slow
@pytest.mark.gcs
@pytest.mark.timeout(600)
def test_the_benchmark_measures_a_handful_of_runs(tmp_path):
    words = ("--runs", "5", "--minutes", "0.15", "--generation-seconds", "4", "--heartbeat-seconds", "3")
    done = subprocess.run(
        [sys.executable, "-m", "bench_operator", *words, "--output", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests"), "TMPDIR": str(tmp_path), **QUICK},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "operator-benchmark.json").read_text())
    stretches = {stretch["name"]: stretch for stretch in found["stretches"]}
    assert list(stretches) == [
        "5 runs",
        "operator started anew",
        "5 runs deleted",
        "5 fresh runs",
    ]
    trained = stretches["5 runs"]
    assert trained["commits"] > 0
    assert trained["memory_mib"]["max"] > 20
    assert trained["store_calls_per_minute"] > 0
    assert trained["api_calls_per_minute"]["by_verb"]["update"] > 0  # of the Lease
    assert trained["failed_looks_per_minute"] == 0
    assert stretches["operator started anew"]["ready_seconds"] > 0
    assert found["lags"]["5 runs"]
    assert max(found["series"]["runs"]) == 5
    assert str(tmp_path) not in (tmp_path / "operator-benchmark.md").read_text()
    assert "## What limits" in (tmp_path / "operator-benchmark.md").read_text()
    assert (tmp_path / "operator-benchmark.png").stat().st_size > 20_000
