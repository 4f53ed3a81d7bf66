"""Which layout a file has, and the reader for it.

- LFADS and autolfads-tf2 (also the NLB preparation helper): `train_data` and `valid_data`, with `train_inds`,
  `train_ext_input`, `train_truth` and the same for `valid_`, and one `conversion_factor`.
- lfads-torch: `train_encod_data`, which the encoders see, and the larger `train_recon_data`, which is
  predicted: what is more in it are held-out neurons (the last ones) and forward bins.
- NLB: `train_spikes_heldin`, `train_spikes_heldout` and their `_forward` continuations.
- Anything else: one variable, see `single`.
"""

from typing import TYPE_CHECKING

from lfads_worker.data.containers import Container
from lfads_worker.data.merged import LFADS, LFADS_TORCH, read_lfads, read_lfads_torch
from lfads_worker.data.nlb import NLB, read_nlb
from lfads_worker.data.recording import Recording
from lfads_worker.data.single import SPIKES_NAMES, read_single
from lfads_worker.errors import DataError

if TYPE_CHECKING:
    from autolfads_spec.data import DataSpec


def read_recording(container: Container, data: "DataSpec") -> Recording:
    """The recording in a file, by the layout that `data.format` names or the file's variables show."""
    layout = _layout_of(container, data)
    if layout == "LFADSTorch":
        return read_lfads_torch(container, data)
    if layout == "NLB":
        return read_nlb(container, data)
    if layout == "LFADS":
        return read_lfads(container, data)
    return read_single(container, data)


def _layout_of(container: Container, data: "DataSpec") -> str:
    present = {
        name: keys[0] in container
        for name, keys in (("LFADSTorch", LFADS_TORCH), ("NLB", NLB), ("LFADS", LFADS))
    }
    if data.format == "NLB" and not present["NLB"] and present["LFADS"]:
        return "LFADS"  # what NLB's preparation helper writes
    if data.format in present:
        if data.variable is not None:
            raise DataError(
                f"data.variable: nothing is wanted beside data.format {data.format}, "
                f"{data.variable} was found; remove one of them"
            )
        return data.format
    if data.variable is not None:
        return "single"
    found = [name for name, here in present.items() if here]
    named = [name for name in SPIKES_NAMES if name in container]
    if len(found) + bool(named) > 1:
        ways = [f"the {name} layout" for name in found] + [f"the variable {name}" for name in named[:1]]
        raise DataError(
            f"data.format: one recording in the file is wanted, {' and '.join(ways)} were found; "
            "set data.format to the layout or data.variable to the variable"
        )
    return found[0] if found else "single"
