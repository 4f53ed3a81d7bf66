"""The whole command on a tiny shape, with real training processes and a real driver, on one core."""

import json
import os
import re
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.ray]

_ON_ONE_CORE = """
import os, runpy, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
sys.argv = ["bench", *sys.argv[1:]]
runpy.run_module("lfads_worker.bench", run_name="__main__")
"""


def _bench(*options):
    command = [sys.executable, "-c", _ON_ONE_CORE, *map(str, options)]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.timeout(1200)
def test_a_run_writes_page_picture_and_numbers_that_can_be_drawn_again(tmp_path):
    page = tmp_path / "benchmark.md"
    options = ["--page", page, "--shape", "tiny"]

    done = _bench(*options, "--members", 2, "--rounds", 1, "--seconds", 0, "--epochs", 1)

    assert done.returncode == 0, done.stderr
    assert "tiny, round 1 of 1" in done.stderr
    assert "outside of training and validation" in done.stdout
    document = json.loads((tmp_path / "benchmark.json").read_text())
    assert [cell["program"] for cell in document["cells"]] == ["ours", "ours, on Ray"]
    for cell in document["cells"]:
        assert (cell["members"], cell["processes"], len(cell["rates"])) == (2, 1, 1)
        assert cell["peak_mb"] > 100
        assert min(cell["rates"]) > 0
    shares = document["shares"]
    assert 0 <= shares["commit"] < 1
    assert 0 < shares["host"] < 1
    assert shares["members"] == 4
    written = page.read_text()
    assert "| ours | 2 | 1 |" in written
    assert "| ours, on Ray | 2 | 1 |" in written

    page.write_text(re.sub(r"\| ours.*\n", "", written))
    (tmp_path / "benchmark.png").unlink()
    again = _bench(*options, "--redraw")

    assert again.returncode == 0, again.stderr
    assert page.read_text() == written
    assert (tmp_path / "benchmark.png").exists()


def test_redrawing_nothing_is_a_sentence(tmp_path):
    done = _bench("--page", tmp_path / "benchmark.md", "--redraw")

    assert done.returncode == 3
    assert "run it without --redraw" in done.stderr
