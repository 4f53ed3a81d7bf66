"""Trains one lfads-torch model in this process and says how long that took; answers JSON lines.

Run by path, with the interpreter of the user's own lfads-torch environment:
nothing of ours but the neighbouring `answering` is imported, and nothing of
theirs is kept here. A call is one training step of one member: draw a
minibatch, coordinated dropout, forward, loss, backward, clip by norm, AdamW.
Left out are Lightning's loop, its logging and the metrics of a step, which
would only slow it down.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from typing import Any

from answering import answer, memory_mb, serve  # type: ignore[import-not-found]

LOSS_SCALE, CLIP_NORM = 1e4, 200.0


def main() -> None:
    """Build the model, warm it up and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", help="folder of lfads-torch")
    parser.add_argument("--work", required=True, help="JSON: shape, hyperparameters, file of the spikes")
    parser.add_argument("--form", choices=["eager", "compiled"], default="eager")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    sys.path.insert(0, arguments.checkout)
    warnings.filterwarnings("ignore")
    began = time.perf_counter()
    training = Training(json.loads(arguments.work), arguments.form, arguments.threads)
    ready = time.perf_counter()
    training.call()
    first = time.perf_counter()
    training.call()
    training.call()
    answer(
        device=training.device,
        start_seconds=ready - began,
        first_call_seconds=first - ready,
        member_steps=1,
        peak_mb=memory_mb(),
        version=training.version,
        loss=training.loss,
    )
    serve(training.call, lambda: {"peak_mb": memory_mb(), "loss": training.loss})


class Training:
    """A model, its optimiser and its data."""

    def __init__(self, work: dict[str, Any], form: str, threads: int) -> None:
        import numpy as np
        import torch  # type: ignore[import-not-found]

        if threads:
            torch.set_num_threads(threads)
        torch.manual_seed(0)
        # checks of arguments of distributions, in every bin: faster without
        torch.distributions.Distribution.set_default_validate_args(False)
        self.version = f"torch {torch.__version__}"
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.loss = float("nan")
        self._torch, self._shape = torch, work["shape"]
        self._model = build(work["shape"], work["hyperparameters"]).to(self.device).train()
        if form == "compiled":
            compile_cells(self._model)
        self._weights = list(self._model.parameters())
        self._optimizer = torch.optim.AdamW(
            self._weights, lr=work["hyperparameters"]["learning_rate"], eps=1e-8, weight_decay=0.0
        )
        self._spikes = torch.tensor(np.load(work["spikes"])).to(self.device)
        self._rng = np.random.default_rng(0)

    def call(self) -> None:
        """One training step; reads the loss, so that a GPU has finished too."""
        torch, shape = self._torch, self._shape
        trials = torch.as_tensor(self._rng.permutation(len(self._spikes))[: shape["batch"]])
        loss = training_loss(torch, self._model, shape, self._spikes[trials.to(self.device)])
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._weights, CLIP_NORM)
        self._optimizer.step()
        self.loss = float(loss.detach())


def build(shape: dict[str, int], hyperparameters: dict[str, float]) -> Any:
    """Their model at our shape and hyperparameters, ramps at their end."""
    from lfads_torch.model import LFADS  # type: ignore[import-not-found]
    from lfads_torch.modules import (  # type: ignore[import-not-found]
        augmentations,
        priors,
        readin_readout,
        recons,
    )
    from torch.nn import Identity, ModuleList  # type: ignore[import-not-found]

    masks = augmentations.CoordinatedDropout(hyperparameters["coordinated_dropout_rate"], 0.0, 0)
    sizes = {
        "encod_data_dim": shape["held_in_neurons"],
        "encod_seq_len": shape["encoded_bins"],
        "recon_seq_len": shape["bins"],
        "ext_input_dim": 0,
        "ic_enc_seq_len": 0,
        "ic_enc_dim": shape["ic_encoder_units"],
        "ci_enc_dim": shape["ci_encoder_units"],
        "ci_lag": 1,
        "con_dim": shape["controller_units"],
        "co_dim": shape["inferred_inputs"],
        "ic_dim": shape["ic_dim"],
        "gen_dim": shape["generator_units"],
        "fac_dim": shape["factors"],
    }
    scales = {
        "l2_ic_enc_scale": hyperparameters["l2_ic_encoder"],
        "l2_ci_enc_scale": hyperparameters["l2_ci_encoder"],
        "l2_gen_scale": hyperparameters["l2_generator"],
        "l2_con_scale": hyperparameters["l2_controller"],
        "kl_ic_scale": hyperparameters["kl_initial_condition"],
        "kl_co_scale": hyperparameters["kl_inferred_inputs"],
    }
    unused = dict.fromkeys(
        ("l2_start_epoch", "l2_increase_epoch", "kl_start_epoch", "kl_increase_epoch", "lr_patience"), 0
    )
    return LFADS(
        **sizes,
        **scales,
        **unused,
        dropout_rate=hyperparameters["dropout_rate"],
        reconstruction=ModuleList([recons.Poisson()]),
        variational=True,
        co_prior=priors.AutoregressiveMultivariateNormal(10.0, 0.1, shape["inferred_inputs"]),
        ic_prior=priors.MultivariateNormal(0.0, 0.1, shape["ic_dim"]),
        ic_post_var_min=1e-4,
        cell_clip=5.0,
        train_aug_stack=augmentations.AugmentationStack([masks], [0], [0]),
        infer_aug_stack=augmentations.AugmentationStack(),
        readin=ModuleList([Identity()]),
        readout=ModuleList([readin_readout.FanInLinear(shape["factors"], shape["neurons"])]),
        loss_scale=LOSS_SCALE,
        recon_reduce_mean=True,
        lr_scheduler=False,
        lr_init=hyperparameters["learning_rate"],
        lr_stop=0.0,
        lr_decay=1.0,
        lr_adam_beta1=0.9,
        lr_adam_beta2=0.999,
        lr_adam_epsilon=1e-8,
        weight_decay=0.0,
    )


def compile_cells(model: Any) -> None:
    """Compile what runs in every bin; the whole forward, unrolled over time, takes too long."""
    encoder = model.encoder
    owners = [part for e in (encoder.ic_enc, encoder.ci_enc) for part in (e.fwd_gru, e.bwd_gru)]
    for owner in [*owners, model.decoder.rnn]:
        owner.cell.compile()


def training_loss(torch: Any, model: Any, shape: dict[str, int], spikes: Any) -> Any:
    """Reconstruction, L2 and both KL terms through the model's own parts; spikes [batch, time, neurons]."""
    from lfads_torch.modules.l2 import compute_l2_penalty  # type: ignore[import-not-found]
    from lfads_torch.tuples import SessionBatch  # type: ignore[import-not-found]

    nothing = torch.zeros(len(spikes), shape["bins"], 0, device=spikes.device)
    encoded = spikes[:, : shape["encoded_bins"], : shape["held_in_neurons"]]
    stack, scales = model.train_aug_stack, model.hparams
    seen = stack.process_batch(SessionBatch(encoded, spikes, nothing, nothing, nothing))
    out = model({0: seen}, sample_posteriors=True, output_means=False)[0]
    elements = model.recon[0].compute_loss(spikes, out.output_params)
    reconstruction = stack.process_losses(elements, seen, None, "train").mean()
    kl = scales.kl_ic_scale * model.ic_prior(out.ic_mean, out.ic_std)
    kl = kl + scales.kl_co_scale * model.co_prior(out.co_means, out.co_stds)
    return scales.loss_scale * (reconstruction + compute_l2_penalty(model, scales) + kl)


if __name__ == "__main__":
    main()
