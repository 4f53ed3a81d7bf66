"""Diagnosis in words: rules that look at a few numbers of a finished run and say what they mean.

Each rule is a pure function of plain numbers: a `Finding`, or None where its pattern is not there. Thresholds
stand here with their reasons; they are rules of thumb, and the sentences say what was seen so that readers
can judge for themselves.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

# Validation trials explained less than 85 % as well as training trials: the usual gap of a well tuned model
# is a few per cent; published runs that overfitted lost a third and more.
OVERFIT_SHARE = 0.85
# The same for a Gaussian output, whose error grows instead.
OVERFIT_ERROR = 1.25
# True rates are the best any model can do but for chance; training trials above them are fitted to the noise.
BETTER_THAN_TRUTH = 1.03
# Held-out neurons are harder than those the encoders see; below 40 % the latent state is not shared by them.
HELD_OUT_SHARE = 0.4
# A nat tells fewer than three kinds of trials apart (e = 2.7).
COLLAPSED_NATS = 1.0
# An input whose mean moves with less than 5 % of its whole variance is noise from the prior.
UNUSED_SHARE = 0.05
# More than one training in ten lost costs more than it teaches.
MANY_DIVERGED = 0.1
# As the data check warns.
FEW_TRAINING_TRIALS = 50
# The error of a mean over 10 trials is a third of the difference between trials.
FEW_VALIDATION_TRIALS = 10
# Within 5 % of an end of the range (of its logarithm, where it is searched so).
EDGE = 0.05

Kind = Literal["warning", "notice", "good"]


class Finding(NamedTuple):
    """Something worth saying about a run.

    Attributes:
      seen: the numbers.
      means: what they say about the model or the recording.
      advice: what to try.
    """

    kind: Kind
    title: str
    seen: str
    means: str
    advice: str


def explains_nothing(valid_bits: float) -> Finding | None:
    """Validation spikes are predicted no better than by mean rates."""
    if valid_bits > 0:
        return None
    return Finding(
        "warning",
        "The model explains nothing",
        f"Validation spikes are explained by {valid_bits:z.3f} bits per spike; mean rates reach 0.",
        "What was inferred says no more than how active each neuron is on average.",
        "Train longer (population.epochsPerGeneration, population.generations), look at the data check for a "
        "wrong bin width or wrong axes, and use a larger data.rebinMs for sparse spikes.",
    )


def overfitting(train_bits: float, valid_bits: float) -> Finding | None:
    """Training trials are explained much better than validation trials, both with dropout switched off."""
    if train_bits <= 0 or valid_bits >= OVERFIT_SHARE * train_bits:
        return None
    less = f", {100 * (1 - valid_bits / train_bits):z.0f} % less" if valid_bits > 0 else ""
    return _overfitted(
        f"Training trials are explained by {train_bits:z.3f} bits per spike, validation trials by "
        f"{valid_bits:z.3f}{less}."
    )


def overfitting_of_values(train_error: float, valid_error: float) -> Finding | None:
    """The same for a Gaussian output, by mean squared errors."""
    if train_error <= 0 or valid_error <= OVERFIT_ERROR * train_error:
        return None
    return _overfitted(
        f"The mean squared error is {train_error:.4g} on training trials and {valid_error:.4g} on "
        f"validation trials, {100 * (valid_error / train_error - 1):.0f} % more."
    )


def better_than_truth(train_share: float) -> Finding | None:
    """Training spikes are explained better than by the rates they were drawn from."""
    if train_share <= BETTER_THAN_TRUTH:
        return None
    return Finding(
        "warning",
        "Noise was learned",
        f"Training spikes are explained {100 * train_share - 100:.0f} % better than by the true rates.",
        "Only the noise of these very trials can explain that: inferred rates follow single spikes.",
        "Raise the lower limit of coordinatedDropoutRate, or of klInitialCondition and klInferredInputs.",
    )


def held_out_missed(held_in_bits: float, held_out_bits: float) -> Finding | None:
    """Neurons that the encoders never saw are hardly predicted."""
    if held_out_bits >= HELD_OUT_SHARE * held_in_bits and held_out_bits > 0:
        return None
    return Finding(
        "warning" if held_out_bits <= 0 else "notice",
        "Held-out neurons are hardly predicted",
        f"Held-out neurons are explained by {held_out_bits:z.3f} bits per spike, those that the encoders see "
        f"by {held_in_bits:z.3f}.",
        "The factors describe the neurons they were inferred from better than the population as a whole: a "
        "sign of overfitting that a gap between trials does not show, or of held-out neurons unlike the "
        "rest.",
        "Select members by population.metric: HeldOut, raise the lower limit of coordinatedDropoutRate, use "
        "fewer model.factors; and look at which neurons are held out.",
    )


def initial_condition_collapsed(nats: float) -> Finding | None:
    """The posterior of the initial condition is the prior: it says nothing about a trial."""
    if nats >= COLLAPSED_NATS:
        return None
    return Finding(
        "notice",
        "The initial condition is not used",
        f"The initial condition carries {nats:.2f} nats about a trial (KL divergence to its prior).",
        "All trials start from the same state as far as the model can tell. That is right if trials differ "
        "only by what happens later; otherwise the penalty on the initial condition has pushed it out.",
        "Lower the upper limit of klInitialCondition, or lengthen training.klRamp so that the network learns "
        "to use it before it is penalised.",
    )


def controller_unused(signal_shares: Sequence[float]) -> Finding | None:
    """Inferred inputs stay at their prior.

    Args:
      signal_shares: for each input, the part of its variance that is the movement of its posterior mean
        rather than the uncertainty around it.
    """
    unused = [i + 1 for i, share in enumerate(signal_shares) if share < UNUSED_SHARE]
    if not unused:
        return None
    total, advice = len(signal_shares), "Lower klInferredInputs (its upper limit) if you expect inputs. "
    if len(unused) < total:
        return Finding(
            "notice",
            f"{len(unused)} of {total} inferred inputs are not used",
            f"Input {_listed(unused)} hardly moves: less than {100 * UNUSED_SHARE:.0f} % of the variance is "
            "signal.",
            "The model needs fewer inputs than it was given; the others are harmless.",
            f"Nothing has to be done; model.inferredInputs: {total - len(unused)} would be enough.",
        )
    return Finding(
        "notice",
        "The inferred inputs are not used",
        f"The inputs hardly move: at most {100 * max(signal_shares):.1f} % of their variance is signal.",
        "The recorded activity is explained by its own dynamics and the state at the start of a trial. That "
        "is expected where nothing from outside arrives during a trial; else the inputs were penalised away.",
        advice + "If you do not, model.inferredInputs: 0 trains a smaller and faster model.",
    )


def members_diverged(diverged: int, trainings: int, rates: tuple[float, float] | None) -> Finding | None:
    """Trainings that ended without a finite score.

    Args:
      diverged: how many.
      trainings: members times generations.
      rates: median learning rate of those that diverged and of the others, where it is searched.
    """
    if diverged == 0:
        return None
    many = diverged > MANY_DIVERGED * trainings
    higher = rates is not None and rates[0] > 1.2 * rates[1]
    learning = (
        f" Their median learning rate was {rates[0]:.2g}, that of the others {rates[1]:.2g}." if rates else ""
    )
    return Finding(
        "warning" if many else "notice",
        "Members diverged",
        f"{diverged} of {trainings} trainings (members times generations) ended without a finite "
        f"likelihood.{learning}",
        "Their weights grew without bounds. Each was replaced by a copy of a healthy member, so the result "
        "is not harmed; the time spent on them is lost.",
        ("Lower the upper limit of learningRate" if higher or many else "Nothing has to be done for a few")
        + ("; if that does not help, lower training.gradientClipNorm." if many else "."),
    )


def too_few_trials(train: int, valid: int) -> Finding | None:
    """Too few trials to learn from, or to judge by."""
    if train >= FEW_TRAINING_TRIALS and valid >= FEW_VALIDATION_TRIALS:
        return None
    learn = train < FEW_TRAINING_TRIALS
    return Finding(
        "warning" if learn else "notice",
        "Few trials" if learn else "Few validation trials",
        f"{train} trials for training (wanted: {FEW_TRAINING_TRIALS} or more) and {valid} for validation "
        f"(wanted: {FEW_VALIDATION_TRIALS} or more).",
        "With few trials a model learns their noise."
        if learn
        else "The score that selects members is noisy: small differences between members are chance.",
        "Record or cut more trials; shorter, overlapping stretches of a long recording also help. A small "
        "model (model.preset: Small) needs fewer."
        if learn
        else "Give more trials to validation (data.validation).",
    )


def at_the_edge(
    positions: Mapping[str, Sequence[float]], ends: Mapping[str, tuple[bool, bool]]
) -> Finding | None:
    """Winners gather at a limit of the search.

    Args:
      positions: name in run.yaml → where the winners of the last generations and, last, the chosen member
        lie in the range: 0 is its lower end, 1 its upper.
      ends: name → whether the (lower, upper) end can be moved at all; a rate of 0 cannot be lowered.
    """
    hit = {
        name: end
        for name, places in positions.items()
        if (end := _end(places)) is not None and ends[name][end == "upper"]
    }
    if not hit:
        return None
    which = ", ".join(f"{name} (its {end} end)" for name, end in hit.items())
    moves = ", ".join(
        f"{'raise' if end == 'upper' else 'lower'} {'max' if end == 'upper' else 'min'} of {name}"
        for name, end in hit.items()
    )
    return Finding(
        "notice",
        "Winners lie at a limit of the search",
        f"The best members of the last generations are within {100 * EDGE:.0f} % of an end of the range of "
        f"{which}.",
        "Better values may lie beyond. Where the curves have been flat for generations, the limit hardly "
        "matters.",
        f"In population.searchSpace, {moves}, and run again.",
    )


def _end(places: Sequence[float]) -> Literal["lower", "upper"] | None:
    """The end of the range at which the chosen member and at least half of the winners lie."""
    values = np.asarray(places)
    if values[-1] <= EDGE and np.mean(values <= EDGE) >= 0.5:
        return "lower"
    if values[-1] >= 1 - EDGE and np.mean(values >= 1 - EDGE) >= 0.5:
        return "upper"
    return None


def _overfitted(seen: str) -> Finding:
    return Finding(
        "warning",
        "Overfitting",
        seen,
        "The model has learned peculiarities of the training trials that other trials do not share. Rates of "
        "training trials look better than they are; trust those of validation trials.",
        "Raise the lower limits of dropoutRate and coordinatedDropoutRate, use fewer model.factors and "
        "generatorUnits, or record more trials.",
    )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)
