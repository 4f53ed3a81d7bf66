"""Writes a cohort's training step as text, for a machine with a GPU that has jaxlib and no TensorFlow.

XLA compiles for both, so the program travels as StableHLO with its arguments,
and with what TensorFlow made of them here, to compare before a time is
believed. `run_exported.py` is the other side.
"""

import gzip
import json
from pathlib import Path

import numpy as np

from lfads_worker.bench.ours import arguments_of
from lfads_worker.bench.shapes import Shape
from lfads_worker.execution.environment import multiply_in_float32, prepare_this_process


def export(folder: Path, shape: Shape, members: int, steps: int) -> None:
    """Write program.mlir.gz, arguments.npz, results.npz and facts.json.

    Args:
      folder: where to; made if need be.
      shape: what is trained.
      members: of the cohort.
      steps: training steps in one call, enough to hide the host's part of a call.
    """
    prepare_this_process(None)
    multiply_in_float32()  # the program says so itself, wherever it is compiled
    import tensorflow as tf

    program, state, rest = arguments_of(shape, members, steps)
    text = program.run.experimental_get_compiler_ir(state, *rest)(stage="stablehlo")
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / "program.mlir.gz", "wt") as file:
        file.write(text)
    after, log = program.run(state, *rest)
    # XLA's program has no arguments for what is None and for arrays without elements.
    leaves = [leaf.numpy() for leaf in tf.nest.flatten((state, *rest)) if leaf is not None]
    np.savez(folder / "arguments.npz", *[leaf for leaf in leaves if leaf.size])
    np.savez(folder / "results.npz", *[leaf.numpy() for leaf in (*after, log)])
    facts = {"shape": shape.name, "members": members, "steps": steps, "state_arrays": len(after)}
    (folder / "facts.json").write_text(json.dumps(facts) + "\n")
