"""A run in a folder of its own, started, killed and finished by the command line, and what it leaves."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

TOY = [sys.executable, str(Path(__file__).with_name("toy_autolfads.py"))]
REAL = [str(Path(sys.executable).parent / "autolfads")]

GENERATIONS = 6  # of the small run

# All that may differ: times, places, and what is needed to go on. docs/interruptions.md lists the same.
MEASURED = (
    "autolfads.log",
    "timing.csv",
    "manifest.json",
    "lease.json",
    "generations/",
    "checkpoints/",
    ".autolfads",
)


def results_of(out):
    """All results of a folder by name, but for what may differ."""
    names = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()]
    assert not [name for name in names if name.endswith(".partial")]
    return {name: (out / name).read_bytes() for name in names if not name.startswith(MEASURED)}


class Runs:
    """One run in a folder of its own, started, killed and finished."""

    def __init__(self, folder, command, workers, epoch_seconds=0.0):
        self.folder = folder
        self.out = folder / "out"
        self.starts = 0
        self.command = [*command, "run", "run.yaml", "--workers", str(workers)]
        self.environment = {**os.environ, "TOY_EPOCH_SECONDS": str(epoch_seconds), "COLUMNS": "120"}

    def start(self):
        self.starts += 1
        with (self.folder / "said.txt").open("a") as said:
            return subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdout=said,
                stderr=said,
                start_new_session=True,  # a process group of its own
            )

    def finish(self):
        process = self.start()
        assert process.wait(600) == 0, (self.folder / "said.txt").read_text()[-4000:]

    def results(self):
        return results_of(self.out)

    def generation(self):
        """The last committed one, None before there is any."""
        try:
            return json.loads((self.out / "manifest.json").read_bytes())["generation"]
        except FileNotFoundError:
            return None

    def forget(self):
        self.starts = 0
        shutil.rmtree(self.out)
        (self.folder / "said.txt").unlink()
