"""Files that come as a training and a validation part: the LFADS and the lfads-torch layouts.

Training and validation trials are put back into the order of the recording, so that what comes out of a run
lines up with the user's own trial list.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lfads_worker.data import companions
from lfads_worker.data.containers import Array, Container, sizes
from lfads_worker.data.orientation import decide, length_evidence, pair_evidence
from lfads_worker.data.recording import (
    BIN_WIDTH_NAMES,
    Recording,
    Split,
    convention_of,
    missing_external_inputs,
    per_bin,
    require_variables,
    stated_layout,
)
from lfads_worker.errors import DataError

if TYPE_CHECKING:
    from autolfads_spec.data import DataSpec

LFADS = ("train_data", "valid_data")
LFADS_TORCH = ("train_encod_data", "train_recon_data", "valid_encod_data", "valid_recon_data")


def read_lfads(container: Container, data: "DataSpec") -> Recording:
    require_variables(container, "LFADS", LFADS)
    train, valid = container.array("train_data"), container.array("valid_data")
    merge = _Merge(container, data, "train_data", train, "valid_data", valid)
    return merge.recording("train_data", merge.join(train, valid))


def read_lfads_torch(container: Container, data: "DataSpec") -> Recording:
    require_variables(container, "lfads-torch", LFADS_TORCH)
    arrays = {key: container.array(key) for key in LFADS_TORCH}
    merge = _Merge(
        container,
        data,
        "train_recon_data",
        arrays["train_recon_data"],
        "valid_recon_data",
        arrays["valid_recon_data"],
    )
    pair_evidence(
        "train_encod_data", arrays["train_encod_data"], "valid_encod_data", arrays["valid_encod_data"]
    )
    predicted = merge.join(arrays["train_recon_data"], arrays["valid_recon_data"])
    for split in ("train", "valid"):
        _require_encoded_first(
            split,
            merge.orientation.turn(arrays[f"{split}_encod_data"]),
            merge.orientation.turn(arrays[f"{split}_recon_data"]),
        )
    encoded = merge.orientation.turn(arrays["train_encod_data"])
    tests = (
        ("test_encod_data has no counts to predict and was left aside",)
        if "test_encod_data" in container
        else ()
    )
    return merge.recording(
        "train_recon_data",
        predicted,
        held_out_neurons=predicted.shape[2] - encoded.shape[2],
        forward_bins=predicted.shape[1] - encoded.shape[1],
    ).with_note(*tests)


def _require_encoded_first(split: str, encoded: Array, predicted: Array) -> None:
    trials, bins, neurons = encoded.shape
    if trials != predicted.shape[0] or bins > predicted.shape[1] or neurons > predicted.shape[2]:
        raise DataError(
            f"{split}_encod_data: at most the trials, bins and neurons of "
            f"{split}_recon_data are wanted, {sizes(encoded.shape)} of {sizes(predicted.shape)} was found; "
            "the data to predict must include the encoded"
        )
    if not np.array_equal(encoded, predicted[:, :bins, :neurons], equal_nan=encoded.dtype.kind == "f"):
        raise DataError(
            f"{split}_encod_data: the first bins and neurons of {split}_recon_data are wanted, "
            "other values were found; put held-out neurons and forward bins last"
        )


class _Merge:
    """Training and validation arrays of one file, joined in trial order once the axes are known."""

    def __init__(
        self,
        container: Container,
        data: "DataSpec",
        train_name: str,
        train: Array,
        valid_name: str,
        valid: Array,
    ) -> None:
        self.container = container
        self.data = data
        self.indices = _trial_numbers(container)
        evidence = [pair_evidence(train_name, train, valid_name, valid), *stated_layout(container)]
        if self.indices is not None:
            for name, array, numbers in zip(
                ("train_inds", "valid_inds"), (train, valid), self.indices, strict=True
            ):
                evidence.append(length_evidence(name, len(numbers), array.shape))
        self.orientation = decide(
            train_name, train, data.layout, convention_of(container), container.kind, evidence
        )
        axis = 2 if self.orientation.layout == "NeuronsTimeTrials" else 0
        self.n_train, self.n_valid = train.shape[axis], valid.shape[axis]
        self.order = (
            np.arange(self.n_train + self.n_valid)
            if self.indices is None
            else np.argsort(np.concatenate(self.indices), kind="stable")
        )

    def join(self, train: Array, valid: Array) -> Array:
        """[trials, time, neurons or features] of both, in the order of the recording."""
        turned = [self.orientation.turn(train), self.orientation.turn(valid)]
        joined: Array = np.concatenate(turned, axis=0)[self.order]
        return joined

    def recording(
        self, name: str, spikes: Array, held_out_neurons: int | None = None, forward_bins: int | None = None
    ) -> Recording:
        notes: list[str] = []
        true_rates = self._optional_pair("truth")
        if true_rates is not None:
            if true_rates.shape != spikes.shape:
                raise DataError(
                    f"train_truth: the shape of the spikes, {sizes(spikes.shape)}, is wanted, "
                    f"{sizes(true_rates.shape)} was found; save rates of the same trials, bins and neurons"
                )
            factor = self.container.scalar("conversion_factor")
            true_rates, notes = per_bin("train_truth", true_rates, factor)
        if self.data.external_inputs is None and "train_ext_input" in self.container:
            notes.append("train_ext_input is not used; data.externalInputs: ext_input would use it")
        return Recording(
            name=name,
            spikes=spikes,
            orientation=self.orientation,
            true_rates=true_rates,
            external_inputs=self._external_inputs(),
            bin_width_ms=self.container.scalar(*BIN_WIDTH_NAMES),
            split=self._split(),
            held_out_neurons=held_out_neurons,
            forward_bins=forward_bins,
            notes=tuple(notes),
        )

    def _optional_pair(self, name: str) -> Array | None:
        keys = (f"train_{name}", f"valid_{name}")
        here = [key for key in keys if key in self.container]
        if not here:
            return None
        if len(here) == 1:
            raise DataError(
                f"{name}: {keys[0]} and {keys[1]} are wanted, only {here[0]} was found; "
                "add the other or remove it"
            )
        train, valid = (self.container.array(key) for key in keys)
        pair_evidence(keys[0], train, keys[1], valid)
        for key, array, trials in ((keys[0], train, self.n_train), (keys[1], valid, self.n_valid)):
            found = self.orientation.turn(array).shape[0]
            if found != trials:
                raise DataError(
                    f"{key}: {trials} trials are wanted, {found} were found; "
                    "save the same trials as the spikes"
                )
        return self.join(train, valid)

    def _external_inputs(self) -> Array | None:
        asked = self.data.external_inputs
        if asked is None:
            return None
        found = self._optional_pair(asked.removeprefix("train_").removeprefix("valid_"))
        if found is None:
            raise missing_external_inputs(asked, self.container)
        return found

    def _split(self) -> Split:
        train = np.flatnonzero(self.order < self.n_train).astype(np.int64)
        valid = np.flatnonzero(self.order >= self.n_train).astype(np.int64)
        if self.indices is None:
            return Split(
                train,
                valid,
                "train_ and valid_ arrays in the file; without trial numbers, training trials first",
            )
        return Split(
            train,
            valid,
            "train_ and valid_ arrays in the file, merged in trial order by train_inds and valid_inds",
        )


def _trial_numbers(container: Container) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Both sets' trial numbers where the file has them; only their order counts, from 0 or from 1."""
    found = companions.trial_numbers(container)
    if found is None:
        return None
    numbers, times = np.unique(np.concatenate(found), return_counts=True)
    if np.any(times > 1):
        raise DataError(
            f"train_inds, valid_inds: each trial once is wanted, trial {numbers[times > 1][0]} was found "
            f"{times.max()} times; a trial cannot be in both sets"
        )
    return found
