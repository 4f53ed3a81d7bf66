"""A page of the documentation as a reader follows it: its commands, in order, in a shell or several.

What only Google has (`gcloud`), fetches (`git`) or builds for minutes (`make`) is written down and answered
with something plausible; everything else really runs. So a variable that a page forgot, a file it did not
make, a command out of order, a flag that helm or kubectl does not know: each ends the shell with an error.
"""

import json
import os
import re
import stat
import subprocess
from pathlib import Path

BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
RECORDER = """#!/usr/bin/env python3
import json, os, sys
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
with open(os.environ["SAID"], "a") as said:
    said.write(json.dumps([name, *words]) + "\\n")
answers = json.load(open(os.environ["ANSWERS"]))
line = " ".join([name, *words])
for start, answer in answers.items():
    if line.startswith(start):
        print(answer)
"""


def commands(page: Path) -> list[str]:
    """The page's blocks of commands."""
    return BLOCK.findall(page.read_text())


def steps(page: Path) -> list[list[str]]:
    """The blocks of each part of the page that has any; a part begins with its heading."""
    parts = re.split(r"^## ", page.read_text(), flags=re.MULTILINE)
    return [blocks for part in parts if (blocks := BLOCK.findall(part))]


class Reader:
    """Somebody with a shell, in a folder of their own."""

    def __init__(self, folder: Path, recorded: tuple[str, ...], answers: dict[str, str]) -> None:
        self.home, self._bin = folder / "home", folder / "bin"
        self._said, self._answers = folder / "said", folder / "answers.json"
        for made in (self.home, self._bin):
            made.mkdir()
        self._said.touch()
        self._answers.write_text(json.dumps(answers))
        for name in recorded:
            self.give(name, RECORDER)

    def give(self, name: str, text: str) -> None:
        """Put a program in front of everything else on their PATH."""
        program = self._bin / name
        program.write_text(text)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def follow(self, blocks: list[str], seconds: float = 300, **environment: str) -> str:
        """Type everything, and stop at the first command that fails; what they saw."""
        own = {"HOME": str(self.home), "SAID": str(self._said), "ANSWERS": str(self._answers)}
        path = f"{self._bin}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", "\n".join(blocks)],
            cwd=self.home,
            env={"PATH": path, **own, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    @property
    def said(self) -> list[list[str]]:
        """What was written down, word by word."""
        return [json.loads(line) for line in self._said.read_text().splitlines()]
