"""The Neural Latents Benchmark's tensors: `train_spikes_heldin`, `_heldout` and their `_forward` bins.

They are put together as one rectangle, [held-in | held-out] neurons by [observed, then forward] bins, which
is how LFADS programs have always been fed them. They bring no split of their own.
"""

from typing import TYPE_CHECKING

import numpy as np

from lfads_worker.data.containers import Array, Container, sizes
from lfads_worker.data.orientation import Orientation, decide, pair_evidence
from lfads_worker.data.recording import (
    BIN_WIDTH_NAMES,
    Recording,
    convention_of,
    missing_external_inputs,
    require_variables,
    stated_layout,
)
from lfads_worker.errors import DataError

if TYPE_CHECKING:
    from autolfads_spec.data import DataSpec

NLB = ("train_spikes_heldin",)


def read_nlb(container: Container, data: "DataSpec") -> Recording:
    require_variables(container, "NLB", NLB)
    arrays = {
        key: container.array(f"train_spikes_{key}")
        for key in ("heldin", "heldout", "heldin_forward", "heldout_forward")
        if f"train_spikes_{key}" in container
    }
    _require_nlb_blocks(set(arrays))
    heldin = arrays["heldin"]
    evidence = list(stated_layout(container))
    if "heldout" in arrays:
        evidence.append(
            pair_evidence("train_spikes_heldin", heldin, "train_spikes_heldout", arrays["heldout"], "neurons")
        )
    orientation = decide(
        "train_spikes_heldin", heldin, data.layout, convention_of(container), container.kind, evidence
    )
    turned = {key: orientation.turn(array) for key, array in arrays.items()}
    _require_nlb_shapes(turned)
    observed = np.concatenate([turned[key] for key in ("heldin", "heldout") if key in turned], axis=2)
    forward = [turned[key] for key in ("heldin_forward", "heldout_forward") if key in turned]
    spikes = np.concatenate([observed, np.concatenate(forward, axis=2)], axis=1) if forward else observed
    left = [name for name in container.listing if name.startswith("eval_")]
    return Recording(
        name="train_spikes_heldin",
        spikes=spikes,
        orientation=orientation,
        bin_width_ms=container.scalar(*BIN_WIDTH_NAMES),
        held_out_neurons=spikes.shape[2] - turned["heldin"].shape[2],
        forward_bins=spikes.shape[1] - turned["heldin"].shape[1],
        external_inputs=_plain_external_inputs(container, data, orientation),
        notes=(f"{', '.join(left)}: evaluation trials were left aside",) if left else (),
    )


def _require_nlb_blocks(keys: set[str]) -> None:
    """Forward bins are wanted for all neurons or for none, else the rectangle has a hole."""
    needed = {"heldin_forward", "heldout_forward"} if "heldout" in keys else {"heldin_forward"}
    have = keys & {"heldin_forward", "heldout_forward"}
    if have and have != needed:
        names = ", ".join(f"train_spikes_{key}" for key in sorted(have ^ needed))
        raise DataError(
            f"{names}: forward bins of all neurons or of none are wanted, only a part was found; "
            "export the NLB tensors with both held-in and held-out forward spikes"
        )


def _require_nlb_shapes(blocks: dict[str, Array]) -> None:
    heldin = blocks["heldin"].shape
    forward_bins = blocks["heldin_forward"].shape[1] if "heldin_forward" in blocks else 0
    heldout = blocks["heldout"].shape[2] if "heldout" in blocks else 0
    wanted = {
        "heldin": heldin,
        "heldout": (heldin[0], heldin[1], heldout),
        "heldin_forward": (heldin[0], forward_bins, heldin[2]),
        "heldout_forward": (heldin[0], forward_bins, heldout),
    }
    for key, block in blocks.items():
        if block.shape != wanted[key]:
            raise DataError(
                f"train_spikes_{key}: {sizes(wanted[key])} is wanted to fit the other NLB arrays, "
                f"{sizes(block.shape)} was found; export them once more together"
            )


def _plain_external_inputs(container: Container, data: "DataSpec", orientation: Orientation) -> Array | None:
    if data.external_inputs is None:
        return None
    if data.external_inputs not in container:
        raise missing_external_inputs(data.external_inputs, container)
    return orientation.turn(container.array(data.external_inputs))
