"""Where numbers come from: what every file of rates says about itself, and which versions made it."""

import contextlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

# Module → the distributions that may have brought it. Versions are read from their metadata: importing
# TensorFlow would take seconds and much memory.
PACKAGES = {
    "autolfads": ("autolfads",),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "ray": ("ray",),
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "h5py": ("h5py",),
}


@dataclass(frozen=True)
class Provenance:
    """The run and the member that a set of rates was inferred by.

    Attributes:
      run_name: `metadata.name` of the run.
      seed: the run's seed.
      fingerprint: sha256 of the recording's file.
      source: address of the recording.
      output_distribution: "Poisson" or "Gaussian".
      generation: in which the best member reached its score.
      member: identity of the best member.
      score: its smoothed validation NLL.
      hyperparameters: all nine values it was trained with in that generation.
    """

    run_name: str
    seed: int
    fingerprint: str
    source: str
    output_distribution: str
    generation: int
    member: int
    score: float
    hyperparameters: Mapping[str, float]


def package_version(*distributions: str) -> str | None:
    """Version of the first of these distributions that is installed, None if none is; imports nothing."""
    for distribution in distributions:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(distribution)
    return None


def versions() -> dict[str, str | None]:
    """Versions of Python and of what the numbers depend on."""
    return {"python": platform.python_version()} | {
        name: package_version(*distributions) for name, distributions in PACKAGES.items()
    }
