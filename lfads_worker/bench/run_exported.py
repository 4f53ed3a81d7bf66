"""Runs a program that `export.py` wrote, through jaxlib, and times it: `python run_exported.py FOLDER`.

Run by path, with a Python that has jax and NumPy; nothing of ours but the
neighbouring `answering` is imported. The first call is compared with
TensorFlow's results on the CPU; a program that computes something else gets
no time. The calls into jaxlib are not a public interface; written for jax
0.10. With `--serve` it answers the benchmark's orders instead of printing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from answering import answer, memory_mb, serve  # type: ignore[import-not-found]

# Of a whole array; Adam divides by the root of a second moment that starts at 0, so single weights may
# differ by more. Differences grow from step to step: export fewer.
LARGEST_DIFFERENCE = 1e-3


# What the benchmark starts this with: sums in a fixed order, kernels not chosen by stopwatch, as runs have it
# (`execution.environment`), and no more of a GPU's memory than is needed.
ENVIRONMENT = {
    "XLA_FLAGS": "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}


def main() -> None:
    """Compile, compare, time."""
    for name, value in ENVIRONMENT.items():  # jax reads them when it is loaded
        os.environ.setdefault(name, value)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--serve", action="store_true", help="take orders from stdin")
    arguments = parser.parse_args()
    facts = json.loads((arguments.folder / "facts.json").read_text())
    program = Program(arguments.folder, facts["state_arrays"])
    differences = program.compare()
    if not max(differences) < LARGEST_DIFFERENCE:
        sys.exit(
            f"wanted TensorFlow's results, found relative differences of {differences} where "
            f"{LARGEST_DIFFERENCE} is the largest allowed, so it is not timed; export it with fewer --steps, "
            "and if that differs too it is another computation"
        )
    if arguments.serve:
        answer(
            device=program.device,
            version=program.version,
            first_call_seconds=program.compile_seconds,
            member_steps=facts["members"] * facts["steps"],
            peak_mb=memory_mb(),
            largest_difference=max(differences),
        )
        serve(program.call, lambda: {"peak_mb": memory_mb()})
        return
    print(f"{program.device}, {program.version}: compiled in {program.compile_seconds:.1f} s")
    print("relative differences from TensorFlow's:", " ".join(f"{d:.1e}" for d in differences))
    seconds = [program.timed() for _ in range(arguments.calls)]
    rate = facts["members"] * facts["steps"] / statistics.median(seconds)
    print(
        f"{facts['shape']}, {facts['members']} members: {rate:.1f} member-steps/s, "
        f"call median {1e3 * statistics.median(seconds):.1f} ms, min {1e3 * min(seconds):.1f}, "
        f"max {1e3 * max(seconds):.1f} of {len(seconds)} calls of {facts['steps']} steps"
    )


class Program:
    """An exported program, compiled for the first device that jax sees, and its arguments there."""

    def __init__(self, folder: Path, state_arrays: int) -> None:
        import jax  # type: ignore[import-not-found]
        import jaxlib  # type: ignore[import-not-found]
        from jax._src.interpreters import mlir  # type: ignore[import-not-found]
        from jax._src.lib import xla_client  # type: ignore[import-not-found]
        from jaxlib.mlir import ir  # type: ignore[import-not-found]

        self._jax, device = jax, jax.devices()[0]
        self.device = f"{device.platform} {device.device_kind}"
        self.version = f"jax {jax.__version__}, jaxlib {jaxlib.__version__}"
        self._state_arrays = state_arrays
        self._results = _arrays(folder / "results.npz")
        self._arguments = [jax.device_put(x, device) for x in _arrays(folder / "arguments.npz")]
        began = time.perf_counter()
        with gzip.open(folder / "program.mlir.gz", "rt") as file, mlir.make_ir_context():
            bytecode = mlir.module_to_bytecode(ir.Module.parse(file.read()))
        self._program = device.client.compile_and_load(
            bytecode, xla_client.DeviceList((device,)), xla_client.CompileOptions()
        )
        self.compile_seconds = time.perf_counter() - began

    def compare(self) -> list[float]:
        """For each result, the norm of the difference over the norm of TensorFlow's."""
        pairs = zip(self._results_of_call(), self._results, strict=True)
        return [
            _relative_difference(np.asarray(found, float), wanted.astype(float)) for found, wanted in pairs
        ]

    def timed(self) -> float:
        """Seconds of a call."""
        began = time.perf_counter()
        self.call()
        return time.perf_counter() - began

    def call(self) -> None:
        """Train on, from the state that the call before left, and wait for the end."""
        self._arguments[: self._state_arrays] = self._results_of_call()[: self._state_arrays]

    def _results_of_call(self) -> list[Any]:
        shards = self._program.execute_sharded(self._arguments).disassemble_into_single_device_arrays()
        results = [shard[0] if isinstance(shard, (list, tuple)) else shard for shard in shards]
        self._jax.block_until_ready(results)
        return results


def _relative_difference(found: Any, wanted: Any) -> float:
    if not np.array_equal(np.isnan(found), np.isnan(wanted)):  # a loss of nothing held out is NaN in both
        return float("inf")
    found, wanted = np.nan_to_num(found), np.nan_to_num(wanted)
    return float(np.linalg.norm(found - wanted)) / max(float(np.linalg.norm(wanted)), 1e-30)


def _arrays(file: Path) -> list[Any]:
    with np.load(file) as archive:
        return [archive[f"arr_{i}"] for i in range(len(archive.files))]


if __name__ == "__main__":
    main()
