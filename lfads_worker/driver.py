"""The loop over generations: train every cohort, score, remember the best, stop or evolve, go on.

It orders; it decides nothing itself: `pbt` decides who copies whom, a pool trains, `results`
writes files. It sees the pool's interface only, so it runs with a toy in milliseconds and
loads neither TensorFlow nor Ray.

Between two generations a run is a `Position`, a plain value that is handed to
`on_generation`: what is committed there is enough to go on elsewhere.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from autolfads_spec import RunSpec
from autolfads_spec.population import Exploit
from lfads_worker.errors import DivergedError
from lfads_worker.execution.cohorts import Cohorts, copy_members, in_member_order
from lfads_worker.execution.pool import CohortPool
from lfads_worker.history import BestMember, GenerationRecord, Position, RunHistory
from lfads_worker.outline import Outline, Tracker, duration, joined, left
from lfads_worker.pbt import exploit, explore, schedule, streams
from lfads_worker.pbt.evolve import Plan, evolve, initial_population, next_population
from lfads_worker.pbt.population import Member, Population
from lfads_worker.pbt.stopping import Stopping
from lfads_worker.progress import Progress, Silent
from lfads_worker.search_space import complete_values, search_space
from lfads_worker.training.state import CohortResult, CohortTask

__all__ = ["Driver", "RunHistory"]

logger = logging.getLogger(__name__)

SECONDS_PER_HOUR = 3600.0
Values = tuple[Mapping[str, float], ...]


def commit_nothing(position: Position) -> None:
    """Lets a generation pass; a run without crash safety."""


def never_asked() -> str | None:
    """Nobody wants the run to end before its own rules do."""
    return None


@dataclass(frozen=True)
class Driver:
    """Runs one population to its end.

    Attributes:
      spec: of the run.
      cohorts: the members of each cohort, see `execution.cohorts`; the same for the whole run.
      pool: trains the cohorts.
      progress: shows the user how far the run is.
      on_generation: called with every new position, after each generation; what crash safety hangs on.
      asked_to_finish: called at the end of each generation that is not the last by the rules; why it is to
        be the last all the same.
      clock: seconds, monotonic.
    """

    spec: RunSpec
    cohorts: Cohorts
    pool: CohortPool
    progress: Progress = field(default_factory=Silent)
    on_generation: Callable[[Position], None] = commit_nothing
    asked_to_finish: Callable[[], str | None] = never_asked
    clock: Callable[[], float] = time.monotonic

    def run(self, start: Position | None = None) -> RunHistory:
        """Trains generations until one of the stopping rules holds.

        Args:
          start: where to go on; None starts a new run.

        Raises:
          DivergedError: if no member of a generation has a finite score.
        """
        position = start if start is not None else self.first_position()
        tracker = Tracker(self.outline, seconds=[record.seconds for record in position.generations])
        with self.progress.shown(tracker):
            while position.stop_reason is None:
                position = self._generation(position, tracker)
                self.on_generation(position)
        assert position.best is not None  # a generation without a best member raises
        logger.info("stopped: %s", position.stop_reason)
        return RunHistory(tuple(self.cohorts), position.generations, position.best, position.stop_reason)

    @property
    def outline(self) -> Outline:
        """How much there is to do at most."""
        return Outline(
            epochs=tuple(self._epochs(number) for number in range(self.spec.population.generations)),
            cohort_sizes=tuple(len(members) for members in self.cohorts),
        )

    def first_position(self) -> Position:
        """A population that has not been trained yet."""
        asked = self.spec.population
        population = initial_population(search_space(asked), asked.size, streams.initial_rng(asked.seed))
        return Position(population, states=(None,) * len(self.cohorts))

    def _generation(self, position: Position, tracker: Tracker) -> Position:
        started = self.clock()
        values = tuple(complete_values(self.spec.training, one.values) for one in position.population.members)
        results = self._train(self._tasks(position, values), tracker)
        scores = in_member_order(self.cohorts, [result.scores.tolist() for result in results])
        scored = position.population.with_scores(scores)
        leader = scored.best
        if leader is None:
            raise _all_diverged(scored, values)

        seconds = self.clock() - started
        stop_reason = self._stop_reason(position, leader.score, seconds)
        plan = None if stop_reason else self._evolve(scored)
        record = self._record(scored, values, results, plan, seconds)
        tracker.finish(seconds)
        self.progress.generation_finished(record)
        _report(record, leader, tracker)
        states = tuple(result.state for result in results)
        return Position(
            population=next_population(scored, plan) if plan else scored,
            states=copy_members(self.cohorts, states, plan.sources) if plan else states,
            best=self._best(position.best, leader, scored.generation, values, results),
            generations=(*position.generations, record),
            stop_reason=stop_reason,
        )

    def _tasks(self, position: Position, values: Values) -> list[CohortTask]:
        generation = position.population.generation
        return [
            CohortTask(
                cohort=number,
                generation=generation,
                first_epoch=self._first_epoch(generation),
                epochs=self._epochs(generation),
                member_ids=members,
                state=state,
                values=tuple(values[member] for member in members),
            )
            for number, (members, state) in enumerate(zip(self.cohorts, position.states, strict=True))
        ]

    def _train(self, tasks: Sequence[CohortTask], tracker: Tracker) -> list[CohortResult]:
        """Results in the order of the cohorts, whatever the order in which they came."""
        started = self.clock()

        def on_progress(cohort: int, epochs_done: int, epochs: int) -> None:
            tracker.train(cohort, epochs_done, self.clock() - started)
            self.progress.trained()

        results = {}
        for result in self.pool.train(tasks, on_progress):
            results[result.cohort] = result
            epochs = tasks[result.cohort].epochs
            on_progress(result.cohort, epochs, epochs)
        return [results[task.cohort] for task in tasks]

    def _stop_reason(self, position: Position, best_score: float, seconds: float) -> str | None:
        asked = self.spec.population
        rules = Stopping(
            patience=asked.stopping.patience,
            min_improvement=asked.stopping.min_improvement,
            max_generations=asked.generations,
            max_hours=asked.stopping.max_hours,
        )
        best_scores = [record.best.score for record in position.generations]
        elapsed = sum(record.seconds for record in position.generations) + seconds
        stop_reason = rules.should_stop([*best_scores, best_score], elapsed / SECONDS_PER_HOUR)
        return stop_reason or self.asked_to_finish()

    def _evolve(self, scored: Population) -> Plan:
        asked = self.spec.population
        return evolve(
            scored,
            search_space(asked),
            _exploit(asked.exploit),
            explore.strategy(asked.explore.strategy, asked.explore.resample_probability),
            streams.generation_rng(asked.seed, scored.generation),
        )

    def _record(
        self,
        scored: Population,
        values: Values,
        results: Sequence[CohortResult],
        plan: Plan | None,
        seconds: float,
    ) -> GenerationRecord:
        return GenerationRecord(
            generation=scored.generation,
            first_epoch=self._first_epoch(scored.generation),
            epochs=self._epochs(scored.generation),
            population=scored,
            values=values,
            decisions=plan.decisions if plan else (),
            logs=tuple(result.log for result in results),
            cohort_seconds=tuple(result.seconds for result in results),
            workers=tuple(result.worker for result in results),
            seconds=seconds,
        )

    def _best(
        self,
        before: BestMember | None,
        leader: Member,
        generation: int,
        values: Values,
        results: Sequence[CohortResult],
    ) -> BestMember:
        """The best member so far; an earlier one keeps its place in a tie."""
        if before is not None and before.score <= leader.score:
            return before
        rows = [[result.state.rows([row]) for row in range(len(result.state))] for result in results]
        state = in_member_order(self.cohorts, rows)[leader.index]
        return BestMember(generation, leader.index, leader.score, values[leader.index], state)

    def _epochs(self, generation: int) -> int:
        return schedule.epochs_of_generation(generation, *self._lengths)

    def _first_epoch(self, generation: int) -> int:
        return schedule.first_epoch(generation, *self._lengths)

    @property
    def _lengths(self) -> tuple[int, int]:
        return self.spec.training.ramp_epochs, self.spec.population.epochs_per_generation


def _exploit(asked: Exploit) -> exploit.Exploit:
    if asked.fraction is None:  # a tournament has none
        return exploit.strategy(asked.strategy)
    return exploit.strategy(asked.strategy, asked.fraction)


def _report(record: GenerationRecord, leader: Member, tracker: Tracker) -> None:
    population = record.population
    failed = sum(not member.has_score for member in population.members)
    if failed:
        logger.warning(
            "generation %d: %d of %d members diverged; copies of others replace them",
            record.generation,
            failed,
            population.size,
        )
    logger.info(
        "generation %d (%d of %d): %s",
        record.generation,
        tracker.generation,
        tracker.outline.generations,
        joined(
            [
                f"best {leader.score:z.4f} (member {leader.index})",
                f"{record.exploited} exploited",
                duration(record.seconds),
                left(tracker.seconds_left(elapsed=0.0)) if record.decisions else "",
            ]
        ),
    )


def _all_diverged(scored: Population, values: Values) -> DivergedError:
    rates = [one["learning_rate"] for one in values]
    return DivergedError(
        f"training: wanted at least one member with a finite validation loss after generation "
        f"{scored.generation}, found all {scored.size} diverged (learning rates {min(rates):.2g} to "
        f"{max(rates):.2g}); lower training.learningRate or the max of learningRate in "
        "population.searchSpace, and look for extreme counts with `autolfads validate`"
    )
