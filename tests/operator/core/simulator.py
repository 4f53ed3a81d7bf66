"""A cluster, an output folder, KubeRay and a driver in memory, roughly as the real ones behave.

Nothing here calls the operator's code but `plan`, and nothing here is shared with it: what a RayJob, a
lease or a driver does is written down a second time, from KubeRay's source and the run's contract.
Every part moves only when it is told to, one step at a time, so a test can order the steps as it likes,
kill anything between two of them, and let two operators act on what they saw long ago.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from autolfads_operator import actions, plan
from autolfads_operator.manifests import names
from autolfads_operator.observed import (
    CustomResource,
    FolderProblem,
    KubeRay,
    Observed,
    OutputFolder,
    Pod,
    PodRole,
    RayCluster,
    RayJob,
    Rival,
)
from autolfads_spec.attempt import BUDGET_STOP, AttemptEnd, EndClass, Wish
from autolfads_spec.cost import CostRecord
from autolfads_spec.lifecycle import seconds
from autolfads_spec.manifest import BestMember, CommittedGeneration, Lease, Manifest, StoredFile
from autolfads_spec.status import RunStatus

START = datetime(2030, 1, 1, tzinfo=UTC)
GENERATION_SECONDS = 60.0
ALL_DONE = "all generations are trained"
# What may be done for a run that has ended.
CLEANUP = (
    actions.DeleteRayJob,
    actions.DeleteNodePool,
    actions.PostEvent,
    actions.RemoveRun,
    actions.RemoveFinalizer,
    actions.WriteCost,
)


class OutdatedActionError(Exception):
    """An action found the world otherwise than observed; the rest of its plan is dropped."""


def text(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def hash_of(manifest):
    return manifest["metadata"]["annotations"][names.SPEC_HASH]


@dataclass
class Job:
    """A RayJob and what KubeRay made for it."""

    name: str
    uid: str
    attempt: int
    created: datetime
    deadline: float = float("inf")  # seconds since it was started
    pre_running_deadline: float = float("inf")
    deployment_status: str = ""
    job_status: str = ""
    reason: str = ""
    message: str = ""
    deleted_at: datetime | None = None
    replicas: int | None = None  # of its RayCluster; None: there is none
    head: bool = False
    started: datetime | None = None
    ended: datetime | None = None
    submitted: datetime | None = None
    driver: "Driver | None" = None


@dataclass
class Driver:
    """The process on the head.

    Attributes:
      workers: that are with it on the far side of a broken network; None while there is none.
    """

    attempt: int
    workers: int | None = None
    epoch: int = 0
    stalled: bool = False
    exit_status: int | None = None


@dataclass
class Folder:
    lease: Lease | None = None
    lease_version: int = 0
    manifest: Manifest | None = None
    manifest_version: int = 0
    wish: Wish | None = None
    ends: dict = field(default_factory=dict)
    results: bool = False
    cost: CostRecord | None = None
    cost_version: int = 0


class World:
    """All that exists, and the steps of everybody but the operators."""

    def __init__(self, run, terms, generations=3):
        self.run, self.terms = run, terms
        self.resource_generation = 0
        self.asked: dict[int, int] = {}  # generations, by attempt: what its ConfigMap says
        self.ask_for(generations)
        self.now = START
        self.status = RunStatus()
        self.finalizers: set[str] = set()
        self.deleted_at = None
        self.annotations: dict[str, str] = {}
        self.gone = False
        self.first_schedule = run.spec.schedule
        self.jobs: dict[str, Job] = {}
        self.orphans: list[Driver] = []  # on machines that nobody reaches, and which may be reached again
        self.config_maps: dict[str, object] = {}
        self.folder = Folder()
        self.store_up = True
        self.may_write = True  # whether the operator has its role
        self.denied_at = None
        self.lacks = None  # which role the pods lack: "input" or "output"
        self.uid = "run-uid"
        self.other = None  # another world, of a run with the same folder
        self.machines = True  # whether nodes are given out
        self.kuberay_up = True
        self.data_problem: EndClass | None = None
        self.last_words: EndClass | None = None  # of the next driver that ends badly
        self.uids = 0
        # What the invariants look at.
        self.began = None
        self.created: list[tuple[int, bool]] = []
        self.commits: list[tuple[tuple[int, int], int]] = []
        self.ever_driven: set[int] = set()
        self.best_seen = 0
        self.went_further = False
        self.done: list[object] = []
        # What is paid for: (attempt, role, index) → (pod, since when it has a node), and hours by role.
        self.placed: dict[tuple[int, str, int], tuple[str, datetime]] = {}
        self.hours = {"head": 0.0, "worker": 0.0}

    # Time.

    def pass_time(self, seconds):
        self._place()
        for _, role, _ in self.placed:
            self.hours[role] += seconds / 3600
        self.now += timedelta(seconds=seconds)

    def _place(self):
        """Pods get nodes, and nodes go with them."""
        wanted = {(job.attempt, "head", 0) for job in self.jobs.values() if job.head}
        for job in self.jobs.values():
            wanted |= {(job.attempt, "worker", index) for index in range(self.nodes_for(job))}
        for key in self.placed.keys() - wanted:
            del self.placed[key]
        for key in sorted(wanted - self.placed.keys()):
            self.uids += 1
            name = names.attempt_name(self.run.metadata.name, key[0])
            self.placed[key] = (f"{name}-{key[1]}-{self.uids}", self.now)

    # Users and faults.

    def change(self, **update):
        spec = self.run.spec.model_copy(update=update)
        self.run = self.run.model_copy(update={"spec": spec})
        self.resource_generation += 1

    def ask_for(self, generations):
        population = self.run.spec.population.model_copy(update={"generations": generations})
        self.change(population=population)

    def delete(self):
        if self.deleted_at is None and not self.gone:
            self.deleted_at = self.now
            self._collect()

    def delete_job_by_hand(self):
        for job in self.jobs.values():
            job.deleted_at = job.deleted_at or self.now

    def lose_head(self):
        """The pod is gone, its driver with it; KubeRay will make another."""
        for job in self.jobs.values():
            if job.head:
                job.head, job.driver = False, None

    def lose_cluster(self):
        for job in self.jobs.values():
            if job.replicas is not None:
                job.replicas, job.head, job.driver = 0, False, None

    def lose_node(self):
        """Nobody reaches the head's node; its pod is given up, but its driver only sleeps."""
        for job in self.jobs.values():
            if job.head:
                self._strand(job)
                job.head, job.driver = False, None

    def _strand(self, job):
        driver = job.driver
        if driver is not None and driver.exit_status is None:
            driver.stalled, driver.workers = True, self._workers(driver)
            self.orphans.append(driver)

    def wake(self):
        """Whoever sleeps or stands still goes on, whatever has become of the run meanwhile."""
        for driver in self._drivers():
            driver.stalled = False

    def stall(self):
        for driver in self._drivers():
            driver.stalled = True

    def end_driver(self, end_class):
        for driver in self._drivers():
            self._end(driver, end_class, 1)

    def kill_driver(self):
        for driver in self._drivers():
            driver.exit_status = 137

    def _drivers(self):
        drivers = [*(job.driver for job in self.jobs.values() if job.driver), *self.orphans]
        return [driver for driver in drivers if driver.exit_status is None]

    # KubeRay.

    def kuberay_step(self):
        if not self.kuberay_up:
            return
        for job in list(self.jobs.values()):
            self._move(job)

    def _move(self, job):
        if job.deleted_at is not None:
            self._interrupt(job)
            del self.jobs[job.name]
            return
        if job.deployment_status in ("Complete", "Failed"):
            if (self.now - job.ended).total_seconds() > 120:
                self._interrupt(job)
                job.replicas, job.head, job.driver = None, False, None
            return
        if job.deployment_status == "":
            job.deployment_status, job.replicas, job.started = "Initializing", 0, self.now
            return
        lasted = (self.now - job.started).total_seconds()
        if lasted >= job.deadline:
            job.deployment_status, job.reason, job.ended = "Failed", "DeadlineExceeded", self.now
            return
        if not job.head:
            if self.machines:
                job.head = True
            elif lasted >= job.pre_running_deadline and job.deployment_status == "Initializing":
                job.deployment_status, job.reason = "Failed", "PreRunningDeadlineExceeded"
                job.ended = self.now
            return
        job.deployment_status = "Running"
        if job.driver is None:
            job.driver, job.submitted, job.job_status = Driver(job.attempt), self.now, "RUNNING"
            return
        if job.driver.exit_status is not None:
            good = job.driver.exit_status == 0
            job.job_status = "SUCCEEDED" if good else "FAILED"
            job.deployment_status = "Complete" if good else "Failed"
            job.reason, job.ended = "" if good else "AppFailed", self.now
            if job.driver.exit_status == 7:
                job.message = "Job entrypoint command failed with exit code 7. No logs available."

    def _interrupt(self, job):
        """The head is taken away, and its driver is told so; one that does not listen stays somewhere."""
        if job.driver is not None and job.driver.exit_status is None and not job.driver.stalled:
            self._end(job.driver, EndClass.INTERRUPTED, 143)
        self._strand(job)

    # The driver.

    def driver_step(self):
        for driver in self._drivers():
            if not driver.stalled and self.store_up:
                self._drive(driver)

    def _drive(self, driver):
        folder = self.folder
        if driver.epoch == 0:
            self._take_over(driver)
            return
        if (folder.manifest.attempt, folder.manifest.driver_epoch) != (driver.attempt, driver.epoch):
            driver.exit_status = 9  # fenced: it writes nothing
            return
        self._write(heartbeat=text(self.now))
        wish = folder.wish
        is_ours = wish is not None and wish.attempt == driver.attempt
        if is_ours and wish.finish:
            if self._workers(driver) > 0:
                self._commit(driver, is_last=True)
            return
        if is_ours and wish.pause:
            self._end(driver, EndClass.PAUSED, 0)
            return
        if self._workers(driver) > 0:
            self._commit(driver)

    def _take_over(self, driver):
        folder = self.folder
        if folder.lease is None or folder.lease.attempt != driver.attempt:
            driver.exit_status = 9
            return
        if self.lacks == "output":
            driver.exit_status = 7
            return
        if self.lacks == "input":
            driver.epoch = folder.lease.driver_epoch
            self._end(driver, EndClass.INPUT_DENIED, 7)
            return
        if self.data_problem is not None:
            driver.epoch = folder.lease.driver_epoch + 1
            self._put_lease(folder.lease.model_copy(update={"driver_epoch": driver.epoch}))
            self._end(driver, self.data_problem, 3)
            return
        driver.epoch = folder.lease.driver_epoch + 1
        self._put_lease(folder.lease.model_copy(update={"driver_epoch": driver.epoch}))
        self.ever_driven.add(driver.attempt)
        if folder.manifest is None:
            folder.manifest = Manifest(
                run=self.run.metadata.name,
                fingerprint="f" * 64,
                cohorts=tuple((member,) for member in range(self.run.spec.population.size)),
                generations_asked=self.asked[driver.attempt],
                attempt=driver.attempt,
                driver_epoch=driver.epoch,
                driver="simulated",
                heartbeat=text(self.now),
                versions={},
            )
        before, asked = folder.manifest, self.asked[driver.attempt]
        self._write(
            attempt=driver.attempt,
            driver_epoch=driver.epoch,
            heartbeat=text(self.now),
            generations_asked=asked,
        )
        if before.stop_reason == ALL_DONE and len(before.generations) < asked:
            # Nobody copied anybody after the last generation: it is done again.
            number = before.generation - 1 if before.generation else None
            self._write(stop_reason=None, generation=number, generations=before.generations[:-1])
            del self.commits[-1]
            self.went_further, folder.results = True, False
        if folder.manifest.stop_reason is not None:
            folder.results = True
            self._end(driver, EndClass.OK, 0)

    def _commit(self, driver, is_last=False):
        manifest = self.folder.manifest
        number, asked = len(manifest.generations), manifest.generations_asked
        if number < asked:
            record = StoredFile(name=f"generations/{number:06d}.json", sha256="0", bytes=1)
            entry = CommittedGeneration(
                generation=number,
                record=record,
                seconds=GENERATION_SECONDS,
                commit_seconds=1.0,
                committed_at=text(self.now),
            )
            best = BestMember(generation=number, member=0, score=1.0 / (number + 1), hyperparameters={})
            self._write(generation=number, generations=(*manifest.generations, entry), best=best)
            self.commits.append(((driver.attempt, driver.epoch), number))
        is_done = len(self.folder.manifest.generations) >= asked
        if is_done or is_last:
            self._write(stop_reason=ALL_DONE if is_done else BUDGET_STOP)
            self.folder.results = True
            self._end(driver, EndClass.OK, 0)

    def _end(self, driver, end_class, exit_status):
        driver.exit_status = exit_status
        manifest = self.folder.manifest
        if not self.store_up or (driver.epoch == 0 and end_class is not EndClass.INPUT_DENIED):
            return
        lease = self.folder.lease
        if (lease.attempt, lease.driver_epoch) != (driver.attempt, driver.epoch):
            return
        self.folder.ends[driver.attempt] = AttemptEnd(
            attempt=driver.attempt,
            driver_epoch=driver.epoch,
            end_class=end_class,
            message=f"said {end_class}",
            generation=manifest.generation if manifest else None,
            ended_at=text(self.now),
        )

    def _write(self, **update):
        self.folder.manifest = self.folder.manifest.model_copy(update=update)
        self.folder.manifest_version += 1

    def _put_lease(self, lease):
        self.folder.lease = lease
        self.folder.lease_version += 1

    def is_to_go_further(self):
        manifest = self.folder.manifest
        more = manifest is not None and manifest.generations_asked < self.run.spec.population.generations
        return more and manifest.stop_reason == ALL_DONE

    def nodes_for(self, job):
        """How many workers of a job find a node."""
        return (job.replicas or 0) if self.machines else 0

    def _workers(self, driver):
        if driver.workers is not None:
            return driver.workers
        return sum(self.nodes_for(job) for job in self.jobs.values() if job.attempt == driver.attempt)

    # What an operator sees, and does.

    def observed(self):
        self._place()
        jobs = list(self.jobs.values())
        clusters = [job for job in jobs if job.replicas is not None]
        return Observed(
            custom_resource=CustomResource(
                name=self.run.metadata.name,
                namespace="lab",
                uid=self.uid,
                resource_generation=self.resource_generation,
                created=START,
                run=self.run,
                status=RunStatus.model_validate_json(
                    self.status.model_dump_json(by_alias=True, exclude_none=True),
                    by_alias=True,
                    by_name=False,
                ),
                annotations=dict(self.annotations),
                finalizers=frozenset(self.finalizers),
                deleted_at=self.deleted_at,
            ),
            now=self.now,
            ray_jobs=tuple(
                RayJob(
                    name=job.name,
                    uid=job.uid,
                    attempt=job.attempt,
                    created=job.created,
                    job_status=job.job_status,
                    deployment_status=job.deployment_status,
                    reason=job.reason,
                    message=job.message,
                    cluster_name=f"{job.name}-x",
                    started=job.started,
                    job_started=job.submitted,
                    ended=job.ended,
                    deleted_at=job.deleted_at,
                )
                for job in jobs
            ),
            ray_clusters=tuple(
                RayCluster(
                    name=f"{job.name}-x",
                    attempt=job.attempt,
                    replicas=job.replicas,
                    max_replicas=max(job.replicas, self.run.spec.compute.workers.desired),
                    ready_workers=job.replicas if self.machines else 0,
                )
                for job in clusters
            ),
            pods=tuple(pod for job in clusters for pod in self._pods(job)),
            config_maps={name: hash_of(manifest) for name, manifest in self.config_maps.items()},
            kuberay=KubeRay.FINE,
            folder=self._folder(),
            rival=self._rival(),
        )

    def _pods(self, job):
        if job.head:
            name, since = self.placed[job.attempt, "head", 0]
            yield Pod(
                name, PodRole.HEAD, job.attempt, "Running", is_ready=True, node="default", placed_at=since
            )
        for index in range(job.replicas):
            unplaced = (f"{job.name}-worker-{index}", None)
            name, since = self.placed.get((job.attempt, "worker", index), unplaced)
            yield Pod(
                name,
                PodRole.WORKER,
                job.attempt,
                "Running" if self.machines else "Pending",
                is_ready=self.machines,
                unschedulable=None if self.machines else "0/3 nodes are available",
                node=f"node-of-{name}" if since is not None else None,
                placed_at=since,
                gpus=1,
            )

    def _rival(self):
        other, lease = self.other, self.folder.lease
        if other is None or lease is None or lease.owner != other.uid or other.gone or not self.store_up:
            return None
        going = (job for job in other.jobs.values() if job.deployment_status not in ("Complete", "Failed"))
        at_rest = other.status.phase in ("Succeeded", "Failed", "Suspended")
        return Rival("run lab/other", any(going) or not at_rest)

    def _folder(self):
        if not self.store_up:
            return OutputFolder(problem=FolderProblem.UNAVAILABLE, message="503")
        folder = self.folder
        return OutputFolder(
            lease=folder.lease,
            lease_version=str(folder.lease_version) if folder.lease is not None else None,
            manifest=folder.manifest,
            manifest_version=str(folder.manifest_version),
            wish=folder.wish,
            ends=dict(folder.ends),
            has_results=folder.results,
            cost=folder.cost,
            cost_version=str(folder.cost_version) if folder.cost is not None else None,
            denied="" if self.denied_at is None else "found that the operator may not",
            is_due=self.denied_at is None or (self.now - self.denied_at).total_seconds() >= 30,
        )

    def carry_out(self, action):
        self.done.append(action)
        getattr(self, f"_do_{type(action).__name__}")(action)

    def _do_WriteLease(self, action):
        self._need_role()
        found = str(self.folder.lease_version) if self.folder.lease is not None else None
        if found != action.expected:
            raise OutdatedActionError
        before = self.folder.lease
        is_own = before is not None and (before.owner, before.attempt) == (self.uid, action.lease.attempt)
        assert before is None or is_own or action.lease.attempt > before.attempt, "a lease goes up"
        assert before is None or action.lease.driver_epoch == before.driver_epoch, "the epoch is the drivers'"
        self._put_lease(action.lease)

    def _do_WriteWish(self, action):
        self._need_role()
        self.folder.wish = action.wish

    def _do_WriteCost(self, action):
        found = str(self.folder.cost_version) if self.folder.cost is not None else None
        if self.store_up and not self.may_write:
            self.denied_at = self.now
        elif self.store_up and found == action.expected:
            self.denied_at = None
            assert self.folder.cost is None or action.record.amount >= self.folder.cost.amount
            self.folder.cost = action.record
            self.folder.cost_version += 1

    def _do_ApplyConfigMap(self, action):
        name = action.manifest["metadata"]["name"]
        if name in self.config_maps and self.config_maps[name] != action.manifest:
            raise OutdatedActionError
        self.config_maps[name] = action.manifest
        attempt = int(name.rpartition("-a")[2])
        self.asked.setdefault(attempt, self.run.spec.population.generations)

    def _do_ApplyRayJob(self, action):
        self._need_store()
        if self.folder.lease is None or self.folder.lease.attempt != action.attempt:
            raise OutdatedActionError
        if self.gone:
            raise OutdatedActionError
        name = action.manifest["metadata"]["name"]
        asked = hash_of(self.config_maps[name])
        assert asked == hash_of(action.manifest), "the head mounts the run.yaml that the RayJob is of"
        assert names.FINALIZER in self.finalizers, "machines only for a run that cannot vanish"
        if name not in self.jobs:
            self.uids += 1
            spec = action.manifest["spec"]
            self.jobs[name] = Job(
                *(name, f"job-{self.uids}", action.attempt, self.now),
                deadline=spec["activeDeadlineSeconds"],
                pre_running_deadline=spec["preRunningDeadlineSeconds"],
            )
            self.began = self.began or self.now
            self.created.append((action.attempt, action.attempt in self.ever_driven))

    def _do_ScaleWorkers(self, action):
        for job in self.jobs.values():
            if f"{job.name}-x" == action.cluster and job.replicas is not None:
                assert job.attempt in self.ever_driven, "no worker before the recording is checked"
                job.replicas = action.replicas
                return
        raise OutdatedActionError

    def _do_DeleteRayJob(self, action):
        job = self.jobs.get(action.name)
        if job is not None and job.uid == action.uid:
            job.deleted_at = job.deleted_at or self.now

    def _do_AddFinalizer(self, action):
        if self.deleted_at is not None:
            raise OutdatedActionError  # Kubernetes takes no new finalizer on a deleted object
        self.finalizers.add(action.finalizer)

    def _do_RemoveFinalizer(self, action):
        self.finalizers.discard(action.finalizer)
        self._collect()

    def _do_PostEvent(self, action):
        assert action.message
        assert len(action.name) <= 63 + 17

    def _do_RemoveRun(self, action):
        self.delete()

    def _need_role(self):
        self._need_store()
        self.denied_at = None if self.may_write else self.now
        if not self.may_write:
            raise OutdatedActionError

    def _need_store(self):
        if not self.store_up:
            raise OutdatedActionError

    def _collect(self):
        """The garbage collector, once nothing holds the run any more."""
        if self.deleted_at is not None and not self.finalizers:
            self.gone = True
            self.delete_job_by_hand()

    def write_status(self, status):
        if not self.gone:
            self.status = status


class Operator:
    """One operator process: looks, then does one thing at a time; may be killed between any two."""

    def __init__(self, world):
        self.world, self.plan, self.index, self.seen = world, None, 0, None

    def crash(self):
        self.plan = None

    def look(self):
        if not self.world.gone:
            self.seen = self.world.observed()
            self.plan, self.index = plan.plan(self.seen, self.world.terms), 0
            self._check()

    def step(self):
        """The next action, or the status after the last one."""
        if self.plan is None:
            self.look()
        elif self.index < len(self.plan.actions):
            action = self.plan.actions[self.index]
            self.index += 1
            try:
                self.world.carry_out(action)
            except OutdatedActionError:
                self.plan = None
        else:
            self.world.write_status(self.plan.status)
            self.plan = None

    def turn(self):
        """A whole look."""
        self.crash()
        self.look()
        while self.plan is not None:
            self.step()

    def _check(self):
        before = self.seen.custom_resource.status
        if (
            before.phase is not None
            and before.phase.is_terminal
            and self.seen.custom_resource.deleted_at is None
        ):
            assert all(isinstance(action, CLEANUP) for action in self.plan.actions)
            if not self.world.is_to_go_further():
                assert self.plan.status.phase is before.phase
        self._check_deadlines()
        assert self.plan.wake_after_seconds > 0
        numbers = [entry.number for entry in self.plan.status.attempts or ()]
        assert numbers == sorted(set(numbers))
        assert len(numbers) <= 10

    def _check_deadlines(self):
        """No deadline ends anything before it has passed as it is set now."""
        before, schedule = self.seen.custom_resource.status, self.seen.custom_resource.run.spec.schedule
        known = {entry.number for entry in before.attempts or () if entry.end_reason}
        for entry in self.plan.status.attempts or ():
            if entry.number in known:
                continue
            if entry.end_reason == "DeadlineExceeded":
                assert (self.seen.now - self.world.began).total_seconds() > seconds(schedule.deadline)
            job = next((job for job in self.seen.ray_jobs if job.attempt == entry.number), None)
            if entry.end_reason == "Stockout" and job is not None:
                waited = ((job.ended or self.seen.now) - job.created).total_seconds()
                assert waited >= seconds(schedule.provisioning_timeout)


def is_live(job):
    return job.deleted_at is None and job.deployment_status not in ("Complete", "Failed")


def check(world, operators=1):
    """What must hold at every moment."""
    if operators == 1:
        assert sum(is_live(job) for job in world.jobs.values()) <= 1, "one live attempt"
        attempts = [attempt for attempt, _ in world.created]
        assert attempts == sorted(attempts)
        assert not any(driven for _, driven in world.created), "a number that was driven is never used again"
    numbers = [number for _, number in world.commits]
    assert numbers == list(range(len(numbers))), "every generation is committed once, in order"
    drivers = [driver for driver, _ in world.commits]
    assert drivers == sorted(drivers), "a superseded driver commits nothing"
    done = world.status.progress.generation if world.status.progress else None
    if done is not None and operators == 1:
        assert done >= world.best_seen - world.went_further, "progress never goes back"
        world.best_seen = max(world.best_seen, done)


def settle(world, operator, rounds=400):
    """Lets everything run without faults until nothing changes any more."""
    world.store_up = world.machines = world.kuberay_up = world.may_write = True
    world.lacks = None
    for _ in range(rounds):
        operator.turn()
        check(world)
        for _ in range(2):
            world.kuberay_step()
            world.driver_step()
            check(world)
        world.pass_time(20)
        if world.gone and not world.jobs:
            return
        phase = world.status.phase
        at_rest = phase is not None and (phase.is_terminal or phase == "Suspended")
        if at_rest and world.deleted_at is None and not any(is_live(job) for job in world.jobs.values()):
            return
