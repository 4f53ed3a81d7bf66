"""How much main memory a process may use: the machine's, or less where a container or a job has a limit.

Reads what Linux tells of itself. Knows nothing of what training needs, nor of memory on GPUs.
"""

import os
from collections.abc import Iterator
from pathlib import Path


def memory_bytes(root: Path = Path("/")) -> int:
    """The machine's memory, or the smallest limit of a control group, of either version, around this process.

    Args:
      root: where Linux keeps its files.
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *_limits(root)])


def _limits(root: Path) -> Iterator[int]:
    groups = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            yield from _upwards(groups, path, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _upwards(groups / "memory", path, "memory.limit_in_bytes")


def _upwards(mount: Path, path: str, name: str) -> Iterator[int]:
    """Of a group and of all groups that it is in."""
    # A container may see its path on the host: then only the mount itself is there, and is its group.
    group = mount / path.strip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(mount):
            return
        # Without a limit there stands "max", or a number beyond any machine.
        yield from (int(line) for line in _lines(folder / name) if line.isdigit())


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
