import os

import pytest

from lfads_worker.execution.main_memory import memory_bytes

GB = 10**9
PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
UNLIMITED = 9223372036854771712  # as version 1 writes it


def machine(root, groups, **limits):
    """Files of Linux: /proc/self/cgroup, and limits by their path under /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for path, limit in limits.items():
        file = root / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{limit}\n")
    return root


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        pytest.param("0::/\n", {"memory.max": GB // 2}, GB // 2, id="a container, version 2"),
        pytest.param("0::/\n", {"memory.max": "max"}, PHYSICAL, id="without a limit"),
        pytest.param(
            "0::/user.slice/job.scope\n",
            {"user.slice/memory.max": GB // 4, "user.slice/job.scope/memory.max": "max"},
            GB // 4,
            id="the group around it is limited",
        ),
        pytest.param(
            "0::/kubepods/pod1/abc\n", {"memory.max": GB // 2}, GB // 2, id="a path that only the host has"
        ),
        pytest.param(
            "5:cpu:/a\n3:memory:/docker/abc\n",
            {"memory/memory.limit_in_bytes": UNLIMITED, "memory/docker/abc/memory.limit_in_bytes": GB // 3},
            GB // 3,
            id="version 1",
        ),
        pytest.param(
            "3:cpu,memory:/docker/abc\n1:name=systemd:/\n0::/\n",
            {"memory/memory.limit_in_bytes": GB // 3},
            GB // 3,
            id="both, in a container",
        ),
        pytest.param(
            "3:memory:/\n", {"memory/memory.limit_in_bytes": UNLIMITED}, PHYSICAL, id="no limit in 1"
        ),
        pytest.param("0::/\n", {}, PHYSICAL, id="nothing is said"),
    ],
)
def test_the_smallest_limit_around_this_process_counts(tmp_path, groups, limits, expected):
    assert memory_bytes(machine(tmp_path, groups, **limits)) == expected


def test_limits_above_the_machine_are_none(tmp_path):
    assert memory_bytes(machine(tmp_path, "0::/\n", **{"memory.max": 2 * PHYSICAL})) == PHYSICAL


def test_a_system_without_groups_has_its_memory(tmp_path):
    assert memory_bytes(tmp_path) == PHYSICAL


def test_this_machine_has_some():
    assert 0 < memory_bytes() <= PHYSICAL
