"""The search spaces of the published AutoLFADS implementations, as `spec.population.searchSpace` holds them.

Start values and weights are theirs; keep ratios of the tutorial are written as dropout rates. What they
leave unlimited while exploring (`enforceLimits: false`) is unlimited here; our Default keeps every value in
its range.

References:
  Keshtkaran et al. 2022, Nature Methods 19 (AutoLFADS); the tutorial on Google Cloud, autolfads-tf2 and
  lfads-torch of the same laboratory.
"""

from typing import Any

RATE_WEIGHT = 0.3  # learning rate and dropout move little …
LOSS_TERM_WEIGHT = 0.8  # … weights of loss terms by up to a factor of 1.8


def _rate(name: str, low: float, high: float, init: float | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "distribution": "Uniform",
        "min": low,
        "max": high,
        "init": init,
        "weight": RATE_WEIGHT,
        "enforce_limits": True,
    }


def _loss_term(name: str, low: float, high: float, limited: bool) -> dict[str, Any]:
    return {
        "name": name,
        "distribution": "LogUniform",
        "min": low,
        "max": high,
        "weight": LOSS_TERM_WEIGHT,
        "enforce_limits": limited,
    }


SEARCH_PRESETS: dict[str, tuple[dict[str, Any], ...]] = {
    "Default": (
        _rate("learningRate", 1e-5, 5e-3, 4e-3),
        _rate("dropoutRate", 0.0, 0.6),
        _rate("coordinatedDropoutRate", 0.01, 0.7, 0.5),
        _loss_term("l2Generator", 1e-4, 1.0, limited=True),
        _loss_term("l2Controller", 1e-4, 1.0, limited=True),
        _loss_term("klInitialCondition", 1e-6, 1e-3, limited=True),
        _loss_term("klInferredInputs", 1e-6, 1e-4, limited=True),
    ),
    "Tutorial": (
        _rate("learningRate", 1e-5, 1.5e-3, 1e-3),
        _rate("dropoutRate", 0.0, 0.6),
        _rate("coordinatedDropoutRate", 0.1, 0.7, 0.5),
        _loss_term("l2Generator", 1e-5, 1.0, limited=False),
        _loss_term("l2Controller", 1e-5, 1.0, limited=False),
        _loss_term("l2IcEncoder", 1e-5, 1.0, limited=False),
        _loss_term("l2CiEncoder", 1e-5, 1.0, limited=False),
        _loss_term("klInitialCondition", 1e-6, 1e-3, limited=False),
        _loss_term("klInferredInputs", 1e-6, 1e-3, limited=False),
    ),
    "AutoLFADSTF2": (
        _rate("learningRate", 1e-5, 5e-3, 4e-3),
        _rate("dropoutRate", 0.0, 0.6),
        _rate("coordinatedDropoutRate", 0.01, 0.7, 0.5),
        _loss_term("l2Generator", 1e-4, 1.0, limited=False),
        _loss_term("l2Controller", 1e-4, 1.0, limited=False),
        _loss_term("klInitialCondition", 1e-5, 1e-3, limited=False),
        _loss_term("klInferredInputs", 1e-6, 1e-4, limited=False),
    ),
    "LFADSTorch": (
        _rate("learningRate", 1e-5, 5e-3, 4e-3),
        _rate("dropoutRate", 0.0, 0.6),
        _rate("coordinatedDropoutRate", 0.01, 0.7, 0.5),
        _loss_term("l2Generator", 1e-4, 1.0, limited=True),
        _loss_term("l2Controller", 1e-4, 1.0, limited=True),
        _loss_term("klInitialCondition", 1e-6, 1e-3, limited=True),
        _loss_term("klInferredInputs", 1e-6, 1e-4, limited=True),
    ),
    "None": (),
}
