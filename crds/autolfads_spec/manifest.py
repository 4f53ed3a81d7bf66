"""What a driver commits and everybody else reads: the manifest, and a record of each generation.

The manifest points to the last committed generation and names the checksum of every
record; a record names the checksums of its log and checkpoints. So whoever trusts a
manifest can tell whether a file is the one that was committed; the manifest begins with a
checksum of its own. It also carries the heartbeat, for those who ask whether anybody is
still at work.

Unknown fields are ignored, so that a later version may add some.
"""

import hashlib
import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

# The manifest's own checksum is its first line, of all that follows.
_CHECKSUM = re.compile(rb'\{\n "checksum": "([0-9a-f]{64})",')


class Document(BaseModel):
    """Base of what is committed; JSON has no NaN, so a number that does not exist is None."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    def to_bytes(self) -> bytes:
        """JSON, one line a field at the top, as people look into it."""
        return (self.model_dump_json(indent=1) + "\n").encode()


class StoredFile(Document):
    """A file below the output folder, and how to tell that it is the one that was written."""

    name: str
    sha256: str
    bytes: int = Field(ge=0)


class Lease(Document):
    """Whose the run is: the latest start of a driver.

    Attributes:
      attempt: counted by whoever starts drivers on machines of their own; 1 on one machine.
      driver_epoch: counted by the drivers themselves: every start adds one, whatever the attempt.
      owner: uid of the custom resource that the attempt was counted for; empty on one machine.
    """

    attempt: int = Field(1, ge=1)
    driver_epoch: int = Field(0, ge=0)
    owner: str = ""


class MemberRecord(Document):
    """One member of a generation.

    Attributes:
      index: its place in the population.
      parent: the member whose weights it began the generation with.
      score: smoothed validation NLL, lower is better; None when it diverged.
      values: what is searched, as it was trained.
      hyperparameters: all nine, as it was trained.
    """

    index: int
    parent: int
    score: float | None
    values: dict[str, float]
    hyperparameters: dict[str, float]


class DecisionRecord(Document):
    """What became of one member after a generation."""

    generation: int
    member: int
    source: int
    forced: bool
    score: float | None
    source_score: float | None
    old_values: dict[str, float]
    new_values: dict[str, float]


class BestRecord(Document):
    """The best member of all generations so far, as it was then.

    Attributes:
      hyperparameters: all nine it was trained with.
      checkpoint: its own state, a single row.
    """

    generation: int
    member: int
    score: float
    hyperparameters: dict[str, float]
    checkpoint: StoredFile


class Measured(Document):
    """Times and places: all of a record that would be different if the generation were done again."""

    seconds: float
    cohort_seconds: tuple[float, ...]
    workers: tuple[str, ...]


class GenerationRecord(Document):
    """One committed generation; with those before it, all that is needed to go on.

    Attributes:
      decisions: empty after the last generation, else one a member.
      stop_reason: set in the last one.
      best: so far; its checkpoint belongs to this generation, in runs of earlier versions to the one in
        which it became the best.
      checkpoints: one a cohort, what is trained next: copies are already made.
      log: what was measured in each epoch.
    """

    format: Literal["autolfads generation 1"] = "autolfads generation 1"
    generation: int = Field(ge=0)
    first_epoch: int = Field(ge=0)
    epochs: int = Field(ge=0)
    attempt: int
    driver_epoch: int
    members: tuple[MemberRecord, ...]
    decisions: tuple[DecisionRecord, ...]
    stop_reason: str | None
    best: BestRecord
    checkpoints: tuple[StoredFile, ...]
    log: StoredFile
    measured: Measured

    @property
    def diverged(self) -> int:
        """Members without a score."""
        return sum(member.score is None for member in self.members)

    @property
    def states(self) -> tuple[StoredFile, ...]:
        """Every file that the run needs to go on after this generation."""
        return (*self.checkpoints, self.best.checkpoint)


class CommittedGeneration(Document):
    """An entry of the manifest.

    Attributes:
      record: the generation's record.
      seconds: wall time of the generation.
      commit_seconds: wall time of writing checkpoints and record, after it.
      committed_at: UTC.
      diverged: members without a score at its end; None where an earlier version committed it.
    """

    generation: int = Field(ge=0)
    record: StoredFile
    seconds: float
    commit_seconds: float
    committed_at: str
    diverged: int | None = Field(None, ge=0)


class BestMember(Document):
    """The best member so far, without its weights."""

    generation: int
    member: int
    score: float
    hyperparameters: dict[str, float]


class Manifest(Document):
    """Where a run stands: the only truth about it.

    Attributes:
      run: its name.
      fingerprint: sha256 of the recording.
      recording_version: of its file in a bucket; the same version has the same content for ever. None
        where there are no versions, or the file was replaced while it was read.
      cohorts: the members of each cohort; cut once, at the start.
      generations_asked: at most so many will be trained.
      attempt: of the driver that holds the run.
      driver_epoch: of the driver that holds the run.
      driver: host and process of that driver.
      heartbeat: UTC; that driver lived then.
      versions: of what the numbers depend on, when the run began.
      generations: what is committed, from 0 on without gaps.
      given_up: generations after those, whose files could not all be read at the latest start, or that a
        run which now goes further does again; kept until the next commit, tried again by a start before it.
      best: None before the first commit.
      stop_reason: set once nothing more will be trained.
      seconds_left: what the driver expected, at the heartbeat, all further training to take; None as long as
        too little was trained to tell.
    """

    format: Literal["autolfads manifest 1"] = "autolfads manifest 1"
    run: str
    fingerprint: str
    cohorts: tuple[tuple[int, ...], ...]
    generations_asked: int
    attempt: int
    driver_epoch: int
    driver: str
    heartbeat: str
    versions: dict[str, str]
    generation: int | None = None
    best: BestMember | None = None
    stop_reason: str | None = None
    recording_version: str | None = None
    seconds_left: float | None = None
    generations: tuple[CommittedGeneration, ...] = ()
    given_up: tuple[CommittedGeneration, ...] = ()

    def to_bytes(self) -> bytes:
        """JSON that begins with the checksum of the rest."""
        content = super().to_bytes()
        checksum = hashlib.sha256(content).hexdigest().encode()
        return content.replace(b"{", b'{\n "checksum": "%s",' % checksum, 1)

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Reads back what `to_bytes` gave; earlier versions gave no checksum.

        Raises:
          ValueError: if it is damaged.
        """
        found = _CHECKSUM.match(content)
        if found and hashlib.sha256(b"{" + content[found.end() :]).hexdigest().encode() != found[1]:
            raise ValueError("the manifest's checksum is another one")
        return cls.model_validate_json(content)

    @property
    def training_seconds(self) -> float:
        """Wall time of all committed generations."""
        return sum(entry.seconds for entry in self.generations)
