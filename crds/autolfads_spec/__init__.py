"""The contract: what a run is and what it reports. Knows neither the worker nor the operator."""

from autolfads_spec.compute import ComputeSpec
from autolfads_spec.data import DataSpec
from autolfads_spec.errors import AutoLFADSError, SpecError
from autolfads_spec.model import ModelSpec
from autolfads_spec.output import OutputSpec, RunPaths
from autolfads_spec.population import PopulationSpec
from autolfads_spec.run import AutoLFADSRun, Metadata, RunSpec, dump_run, load_run
from autolfads_spec.search_space import SearchDimension
from autolfads_spec.training import TrainingSpec

__all__ = [
    "AutoLFADSError",
    "AutoLFADSRun",
    "ComputeSpec",
    "DataSpec",
    "Metadata",
    "ModelSpec",
    "OutputSpec",
    "PopulationSpec",
    "RunPaths",
    "RunSpec",
    "SearchDimension",
    "SpecError",
    "TrainingSpec",
    "dump_run",
    "load_run",
]
