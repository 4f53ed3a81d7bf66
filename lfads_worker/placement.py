"""How a population is cut and placed: its cohorts, and the workers that train them.

Weighs what the spec asks for and what the recording takes against what there is to train on. Starts nothing.
"""

from dataclasses import dataclass

from autolfads_spec import RunSpec
from lfads_worker.data import memory
from lfads_worker.data.check import readable_bytes
from lfads_worker.data.spikes import SpikeData
from lfads_worker.execution.choice import Choice, choose
from lfads_worker.execution.cohorts import Cohorts, cut, members_per_cohort
from lfads_worker.execution.device import Devices
from lfads_worker.execution.main_memory import memory_bytes


@dataclass(frozen=True)
class Site:
    """Where a run trains, and what its user asks for there.

    Attributes:
      devices: of this machine, or of the cluster's workers.
      workers: asked for by the user: 0 for this process, None for whatever is fastest.
      address: of a running Ray cluster; None: on this machine.
      grows: the operator adds machines to that cluster, also while it trains, and none without work.
    """

    devices: Devices
    workers: int | None = None
    address: str | None = None
    grows: bool = False

    def devices_asked_for(self, spec: RunSpec) -> int:
        """In a cluster those of the spec, whether they are there yet or not; else this machine's."""
        return self.devices.count if self.address is None else _cluster_workers(spec)


@dataclass(frozen=True)
class Placement:
    """The workers of a population, and whether there is memory for them.

    Attributes:
      choice: which pool, with how many workers.
      needed_bytes: estimate for all workers together.
      available_bytes: None where it is not this machine's main memory that they need.
      cure: what helps when more is needed than available.
      restriction: that there are fewer workers than there could be, and why; None: there are not.
    """

    choice: Choice
    needed_bytes: int
    available_bytes: int | None
    cure: str
    restriction: str | None


def cut_population(spec: RunSpec, data: SpikeData, site: Site) -> Cohorts:
    """The cohorts of a run that begins; one that goes on keeps its own."""
    one, two = (memory.of_run(data, spec, members, site.devices.kind) for members in (1, 2))
    size = members_per_cohort(
        spec.compute.members_per_cohort,
        spec.population.size,
        site.devices.kind,
        member_bytes=two - one,
        device_bytes=site.devices.gpu_bytes,
        fixed_bytes=2 * one - two,
        devices=site.devices_asked_for(spec),
    )
    return cut(spec.population.size, size)


def place(spec: RunSpec, data: SpikeData, cohorts: Cohorts, site: Site) -> Placement:
    """Workers for these cohorts: as many as are asked for, else as many as there is memory for."""
    members, kind = max(len(cohort) for cohort in cohorts), site.devices.kind
    each = memory.of_run(data, spec, members, kind)
    available = memory_bytes() if kind == "cpu" and site.address is None else None
    fitting = None if available is None else max(1, available // each)
    workers = None if site.grows else _cluster_workers(spec)
    free = choose(site.workers, len(cohorts), site.devices, workers, site.address)
    choice = choose(site.workers, len(cohorts), site.devices, workers, site.address, fitting)
    return Placement(
        choice,
        needed_bytes=max(choice.workers, 1) * each,
        available_bytes=available,
        cure=_cure(spec, data, members, available, choice) if available is not None else "",
        restriction=None
        if choice == free or available is None
        else f"{_processes(choice)} instead of {free.workers}: each needs about {readable_bytes(each)} of "
        f"memory, and there are {readable_bytes(available)}",
    )


def without_work(spec: RunSpec, cohorts: Cohorts, site: Site, has_begun: bool) -> str | None:
    """That more workers are wanted than there are cohorts, and what to do; None: there is work for all.

    Args:
      spec: what is asked for.
      cohorts: of the run.
      site: where it trains.
      has_begun: its cut can no longer be changed.
    """
    is_auto = spec.compute.members_per_cohort == "Auto"
    gpus = site.devices.kind == "gpu"
    if site.workers is not None:
        wanted, field = site.workers, "--workers"
    elif site.address is not None:
        wanted, field = _cluster_workers(spec), "compute.workers.desired"
    else:  # nobody asked for these devices; only on GPUs is it usual to want them all at work
        wanted, field = site.devices.count if gpus else 0, ""
    if wanted <= len(cohorts):
        return None
    # The largest cohorts that make as many as there are workers.
    largest = -(-spec.population.size // (wanted - 1)) - 1
    cures = []
    # What Auto shares out over GPUs is not done sooner by more cohorts.
    if largest >= 1 and not has_begun and not (is_auto and gpus):
        cures.append(f"set compute.membersPerCohort to at most {largest}")
    if field:
        cures.append(f"ask for fewer workers ({field})")
    if not cures:
        return None
    count, idle = len(cohorts), wanted - len(cohorts)
    return (
        f"wanted work for {wanted} workers, found {count} cohort{'s' if count > 1 else ''} of up to "
        f"{max(len(cohort) for cohort in cohorts)} members, so {idle} would have nothing to do; "
        + " or ".join(cures)
    )


def _cure(spec: RunSpec, data: SpikeData, members: int, available: int, choice: Choice) -> str:
    """What makes these workers, each with a cohort of so many members, need no more than is available."""
    fitting = available // memory.of_run(data, spec, members)
    if fitting >= 1:
        return f"ask for at most {fitting} with --workers"
    alone = "--workers 1, and " if choice.workers > 1 else ""
    smaller = [less for less in range(1, members) if memory.of_run(data, spec, less) <= available]
    if smaller:
        return f"{alone}set compute.membersPerCohort to at most {smaller[-1]}"
    return f"{alone}lower training.batchSize or raise data.rebinMs"


def _processes(choice: Choice) -> str:
    return f"training with {choice.workers} workers" if choice.workers else "training in one process"


def _cluster_workers(spec: RunSpec) -> int:
    """One for each device of the machines that were asked for."""
    accelerator = spec.compute.accelerator
    return spec.compute.workers.desired * (accelerator.count_per_worker if accelerator else 1)
