"""A fleet in virtual time: the stores are the real ones, on a real database; only what a stage computes is made up.

What must never happen is looked for all the time: see :class:`Ledger`.
"""

import asyncio
import hashlib
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa

from service.context import Context
from service.db.models import Dialect, Outbox, OutboxState, Queue, TaskKind, TaskStatus
from service.errors import LeaseLost
from service.keeper import upload_fence
from service.storage import content_key
from service.store import Store
from service.store.files import Holder
from service.store.records import Claim, NewFile, NewTask, NewTrack
from service.worker.janitor import Janitor
from support.virtual_time import VirtualTime

WHOLE_SONG = {"stems": None, "instruments": None, "type": "split_stem"}
REAP_EVERY_S = 5.0
_LOOK_EVERY_S = 300.0  # whether callbacks are still owed
T = TypeVar("T")


@dataclass(frozen=True)
class Song:
    """One task to come.

    Attributes:
        content: what decides its source's digest; songs that share it are the same audio.
        by_url: whether its source must be fetched first.
        work_s: by queue, how long a worker's place is taken by it.
    """

    at_s: float
    customer: str
    kind: TaskKind
    content: str
    by_url: bool
    audio_s: float
    work_s: dict[Queue, float]
    receiver: str


class Bell:
    """A doorbell that wakes one idle place of the queue."""

    def __init__(self, clock: VirtualTime) -> None:
        self._clock = clock
        self.waiting: dict[str, list[asyncio.Future[bool]]] = defaultdict(list)

    def ring(self, queue: str, task_id: str) -> None:
        self._clock.wake(self.waiting[queue])

    async def is_up(self) -> bool:
        return True

    async def close(self) -> None:
        """Holds nothing."""


@dataclass
class Receiver:
    """Who gets callbacks: down until ``up_from_s``, then failing for a share of requests, each taking its time."""

    name: str
    answer_s: float = 0.1
    fails: float = 0.0
    up_from_s: float = 0.0
    accepted: Counter[str] = field(default_factory=Counter)

    @property
    def url(self) -> str:
        return f"https://{self.name}.example/callback"


class Ledger:
    """Who may write what, kept beside the database's own account of it, and what contradicts it."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.holders: dict[str, tuple[int, float]] = {}  # task: newest fence, and until when its lease lasts
        self.ended: Counter[str] = Counter()
        self.returns: Counter[str] = Counter()  # passed on, handed back or reaped: each lets it be claimed once more
        self.lost: Counter[str] = Counter()  # reaped since the task came to its queue
        self.events: Counter[str] = Counter()

    def claimed(self, claim: Claim, now_s: float, lease_s: float) -> None:
        task_id = claim.task.id
        fence, until_s = self.holders.get(task_id, (0, -1.0))
        if until_s > now_s:
            self.problems.append(f"{task_id} was claimed while its lease {fence} lasted")
        if claim.fence != fence + 1:
            self.problems.append(f"{task_id}: fence {claim.fence} follows {fence}")
        self.holders[task_id] = (claim.fence, now_s + lease_s)

    def leaves(self, claim: Claim) -> None:
        """Said before the write, after which others may claim it."""
        if not self.is_stale(claim):
            self.holders[claim.task.id] = (claim.fence, -1.0)

    def is_stale(self, claim: Claim) -> bool:
        return self.holders[claim.task.id][0] != claim.fence

    async def write(self, claim: Claim, what: str, write: Awaitable[T]) -> T:
        """A write that must be refused where the claim is not the newest any more."""
        was_stale = self.is_stale(claim)
        try:
            result = await write
        except LeaseLost:
            self.events["writes of lost leases refused"] += 1
            raise
        if was_stale:
            self.problems.append(f"{claim.task.id}: {what} of the stale claim {claim.fence} went through")
        return result


class Stopwatch:
    """Real time by operation."""

    def __init__(self) -> None:
        self.taken_ms: dict[str, list[float]] = defaultdict(list)

    async def time(self, what: str, operation: Awaitable[T]) -> T:
        started = time.perf_counter()
        try:
            return await operation
        finally:
            self.taken_ms[what].append(1000 * (time.perf_counter() - started))


class Fleet:
    """Everything that is simulated.

    Args:
        context: over a migrated database, with the virtual clock; its doorbell is replaced.
        songs: what customers will ask for.
        receivers: by name.
    """

    def __init__(
        self, context: Context, clock: VirtualTime, songs: Sequence[Song], receivers: Sequence[Receiver]
    ) -> None:
        self.clock = clock
        self.bell = Bell(clock)
        context.doorbell = self.bell
        context.store = Store.over(context.database, clock, context.settings, self.bell)
        self.context = context
        self.songs = sorted(songs, key=lambda song: song.at_s)
        self.by_task: dict[str, Song] = {}
        self.receivers = {receiver.name: receiver for receiver in receivers}
        self.ledger = Ledger()
        self.stopwatch = Stopwatch()
        self.first_claim_s: dict[str, float] = {}
        self.busy: list[tuple[str, float, float]] = []  # kind of worker, from, to
        self.keys: dict[str, str] = {}
        self.mail: list[asyncio.Future[bool]] = []  # deliverers that have nothing to do
        self.mail_due_s: list[float] = []  # when something is to be done again
        self.is_over = False

    @property
    def lease_s(self) -> float:
        return self.context.settings.lease_seconds

    @property
    def all_ended(self) -> bool:
        return len(self.ledger.ended) == len(self.songs)

    async def run(self, processes: Iterable[Coroutine[Any, Any, None]]) -> None:
        """From the first song to the last callback.

        Args:
            processes: what the workers do.
        """
        for name in sorted({song.customer for song in self.songs}):
            self.keys[name] = (await self.context.store.keys.create(name, f"digest of {name}", "")).id
        self.clock.start(self._customers())
        self.clock.start(self._reaper())
        for process in processes:
            self.clock.start(process)
        await self.clock.run()

    async def _customers(self) -> None:
        for song in self.songs:
            if song.at_s > self.clock.now_s:
                await self.clock.sleep(song.at_s - self.clock.now_s)
            self.clock.start(self._ask(song))

    async def _ask(self, song: Song) -> None:
        """As the native route does: the file is announced and stored, then the task made."""
        task_id, fence, store = uuid.uuid4().hex, upload_fence(), self.context.store
        self.by_task[task_id] = song
        source = None
        if not song.by_url:
            file = new_file("source", f"{song.content} source", fence)
            await self.stopwatch.time("announce", store.files.announce([file.storage_key], Holder(task_id, fence)))
            source = NewTrack(file, None, song.audio_s)
        new = NewTask(
            key_id=self.keys[song.customer],
            kind=song.kind,
            dialect=Dialect.NATIVE,
            params={} if song.kind == TaskKind.WAV else dict(WHOLE_SONG),
            callback_url=self.receivers[song.receiver].url,
            task_id=task_id,
            source_track_id=str(uuid.uuid4()),
            source=source,
            audio_s=None if song.by_url else song.audio_s,
        )
        await self.stopwatch.time("create", store.tasks.create(new))

    async def _reaper(self) -> None:
        """The rounds that some process of the fleet makes every five seconds."""
        janitor = Janitor(self.context)
        while not self.is_over:
            await self.clock.sleep(REAP_EVERY_S if not self.all_ended else _LOOK_EVERY_S)
            if not self.all_ended:
                for task in await self.stopwatch.time("reap", self.context.store.leases.reap()):
                    self._reaped(task.id, task.status)
            else:
                self.is_over = not await self._owes_callbacks()
        while await janitor.sweep():
            pass

    async def _owes_callbacks(self) -> bool:
        async with self.context.database.read() as session:
            return bool(await session.scalar(sa.select(sa.exists().where(Outbox.state == OutboxState.PENDING))))

    def _reaped(self, task_id: str, status: str) -> None:
        ledger = self.ledger
        if ledger.holders[task_id][1] >= self.clock.now_s:
            ledger.problems.append(f"{task_id} was reaped while its lease lasted")
        ledger.events["leases reaped"] += 1
        if status == TaskStatus.FAILED:
            self.end(task_id, "tasks failed: three workers lost")
        else:
            ledger.returns[task_id] += 1
            ledger.lost[task_id] += 1

    def until_mail_s(self) -> float:
        """How long a deliverer can sleep; it is woken for new callbacks."""
        self.mail_due_s = [due_s for due_s in self.mail_due_s if due_s > self.clock.now_s]
        return min([_LOOK_EVERY_S, *(due_s - self.clock.now_s for due_s in self.mail_due_s)])

    def end(self, task_id: str, how: str) -> None:
        self.ledger.ended[task_id] += 1
        self.ledger.events[how] += 1
        self.clock.wake(self.mail)


def new_file(role: str, content: str, fence: int = 0) -> NewFile:
    """A file that nobody stores; its key and digest are as if it were."""
    digest = sha256_of(content)
    return NewFile(role, f"{role}.bin", "application/octet-stream", content_key(digest), 1000, digest, fence)


def sha256_of(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
