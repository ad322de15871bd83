"""The workers of a simulated fleet: they do with the real stores what those of :mod:`service.worker` do.

They claim, renew, finish stages, pass on, hand back and end tasks; some are killed, some stopped, and some freeze for
longer than their leases last and then go on.  Deliverers are the real ones but for the request itself, which made-up
receivers answer.  Of files there is one row for each stage, and no object: how these are kept is shown elsewhere.
"""

import bisect
import contextlib
import random
from collections.abc import Awaitable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from service.db.models import Outbox, OutboxState, Queue, TaskKind
from service.digests import SEPARATION, TRANSCRIPTION, WAV
from service.errors import LeaseLost, PassOn
from service.store.records import Claim, NewNotes, NewStageFile, NewTrack, Outcome
from service.worker.deliveries import Attempt, Deliverer
from support.simulated_fleet import Fleet, new_file, sha256_of

RENEW_EVERY_S = 10.0  # a third of the lease; workers that report progress write it every second instead
POLL_S = 20.0  # with a doorbell; real workers look every five seconds, at the cost of a read
MAIL_POLL_S = 5.0
HOLD_S = 60.0  # after which a callback that was cut off is due again
T = TypeVar("T")


@dataclass(frozen=True)
class Outage:
    """A worker that is not there: ``killed`` and ``stopped`` ones begin anew, a ``frozen`` one goes on."""

    at_s: float
    until_s: float
    how: str


class Gone(BaseException):
    """The worker is killed, or told to stop, in the middle of something; nothing between may catch this."""

    def __init__(self, outage: Outage) -> None:
        self.outage = outage


class SimulatedWorker:
    """A worker process.

    Args:
        kind: what figures call it.
        places: tasks it does at once.
        outages: when it is not there, in order.
    """

    def __init__(
        self, fleet: Fleet, name: str, kind: str, queues: Sequence[Queue], places: int, outages: Sequence[Outage]
    ) -> None:
        self._fleet = fleet
        self._clock = fleet.clock
        self.name = name
        self.kind = kind
        self.queues = tuple(queues)
        self.places = places
        self.outages = outages
        self._ends_s = [outage.until_s for outage in outages]

    def processes(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What it does."""
        for _ in range(self.places):
            yield self._work()
        if Queue.IO in self.queues:
            yield self._deliver()

    async def _work(self) -> None:
        """One of its places: claim, do, and again; idle, wait for the bell or look after a while."""
        fleet, leases = self._fleet, self._fleet.context.store.leases
        while not fleet.all_ended:
            await self._until_up()
            claim = await fleet.stopwatch.time("claim", leases.claim(self.name, self.queues))
            if claim is None:
                await self._clock.wait(POLL_S, fleet.bell.waiting[self.queues[0]])
                continue
            fleet.ledger.claimed(claim, self._clock.now_s, fleet.lease_s)
            fleet.first_claim_s.setdefault(claim.task.id, self._clock.now_s)
            began_s = self._clock.now_s
            await SimulatedJob(fleet, self, claim).attend()
            fleet.busy.append((self.kind, began_s, self._clock.now_s))

    async def _deliver(self) -> None:
        """Its deliverer."""
        fleet = self._fleet
        deliverer = SimulatedDeliverer(fleet, self)
        while not fleet.is_over:
            await self._until_up()
            if await deliverer.begin():
                continue
            await self._clock.wait(MAIL_POLL_S if deliverer.is_busy else fleet.until_mail_s(), fleet.mail)

    async def spend(self, seconds: float) -> None:
        """Let time pass in the worker.

        Raises:
            Gone: it is killed or stopped meanwhile.
        """
        while True:
            outage, now_s = self._next_outage(), self._clock.now_s
            if outage is None or now_s + seconds <= outage.at_s:
                await self._clock.sleep(seconds)
                return
            if now_s < outage.at_s:
                await self._clock.sleep(outage.at_s - now_s)
                seconds = max(0.0, seconds - (outage.at_s - now_s))
            if outage.how != "frozen":
                raise Gone(outage)
            await self._clock.sleep(outage.until_s - self._clock.now_s)

    async def _until_up(self) -> None:
        outage = self._next_outage()
        if outage is not None and outage.at_s <= self._clock.now_s:
            await self._clock.sleep(outage.until_s - self._clock.now_s)

    def _next_outage(self) -> Outage | None:
        """The one that it is in, or else the next."""
        index = bisect.bisect_right(self._ends_s, self._clock.now_s)
        return self.outages[index] if index < len(self.outages) else None


class SimulatedJob:
    """One claimed task being done, step by step as :mod:`service.worker.jobs` does it."""

    def __init__(self, fleet: Fleet, worker: SimulatedWorker, claim: Claim) -> None:
        self._fleet = fleet
        self._worker = worker
        self._claim = claim
        self._task = claim.task
        self._song = fleet.by_task[claim.task.id]
        self._store = fleet.context.store
        self._ledger = fleet.ledger
        self._time = fleet.stopwatch.time

    async def attend(self) -> None:
        claim, leases, ledger = self._claim, self._store.leases, self._ledger
        try:
            outcome = await (self._to_wav() if self._song.kind == TaskKind.WAV else self._whole_song())
            ledger.leaves(claim)
            await self._write("succeed", leases.succeed(claim, outcome))
            self._fleet.end(self._task.id, "tasks succeeded")
        except PassOn as rest:
            ledger.leaves(claim)
            with contextlib.suppress(LeaseLost):
                await self._write("pass on", leases.pass_on(claim, rest.queue))
                ledger.returns[self._task.id] += 1
                ledger.lost[self._task.id] = 0
        except LeaseLost:
            ledger.events["tasks left to another worker"] += 1
        except Gone as gone:
            ledger.events[f"tasks {gone.outage.how} in the middle"] += 1
            if gone.outage.how == "stopped":
                ledger.leaves(claim)
                with contextlib.suppress(LeaseLost):
                    await self._write("hand back", leases.hand_back(claim))
                    ledger.returns[self._task.id] += 1

    async def _write(self, what: str, write: Awaitable[T]) -> T:
        return await self._ledger.write(self._claim, what, self._time(what, write))

    async def _spend(self, queue: Queue, what: str) -> None:
        """The time of a stage, with renewals."""
        if queue not in self._worker.queues:
            raise PassOn(queue)
        seconds, left_s = self._song.work_s[queue], self._song.work_s[queue]
        while left_s > 0:
            await self._worker.spend(min(RENEW_EVERY_S, left_s))
            left_s -= RENEW_EVERY_S
            if left_s > 0:
                await self._write("renew", self._store.leases.renew(self._claim, what, 1 - left_s / seconds))
                self._holds_on()

    def _holds_on(self) -> None:
        now_s, fence = self._fleet.clock.now_s, self._claim.fence
        if not self._ledger.is_stale(self._claim):
            self._ledger.holders[self._task.id] = (fence, now_s + self._fleet.lease_s)

    async def _source(self) -> None:
        if not self._song.by_url:
            return
        if await self._time("read", self._store.tasks.track(self._task.source_track_id or "")) is None:
            await self._spend(Queue.IO, "fetching")
            track = NewTrack(new_file("source", f"{self._song.content} source"), None, self._song.audio_s)
            await self._write("source", self._store.leases.add_source(self._claim, track))
            self._holds_on()

    async def _to_wav(self) -> Outcome:
        await self._source()
        await self._spend(Queue.IO, "writing")
        digest = self._store.digests.wav(sha256_of(f"{self._song.content} source"))
        return Outcome(
            files=[new_file("wav", f"{self._song.content} wav")], audio_s=self._song.audio_s, stage=(WAV, digest)
        )

    async def _whole_song(self) -> Outcome:
        await self._source()
        stem = await self._stems()
        digest = self._store.digests.transcription({"all": stem.file.sha256}, None, "auto")
        await self._spend(Queue.MIDI, "transcribing")
        return Outcome(
            tracks=[NewTrack(stem.file, stem.stem, stem.duration_s)],
            files=[new_file("midi", f"{self._song.content} notes")],
            instruments=[NewNotes(None, "Drums", 0, True, "all", 0.9, b"[]")],
            audio_s=self._song.audio_s,
            stage=(TRANSCRIPTION, digest),
        )

    async def _stems(self) -> NewStageFile:
        content, claim, stages = self._song.content, self._claim, self._store.stages
        digest = self._store.digests.separation(sha256_of(f"{content} source"), None)
        found = await self._time("read", stages.files(claim, SEPARATION, digest, of_others=True))
        made = NewStageFile(new_file("stem", f"{content} stems"), "all", self._song.audio_s)
        if found is not None and found[0] == self._task.id:
            return made
        if found is None:
            await self._spend(Queue.SEPARATION, "separating")
        else:
            self._ledger.events["separations of others found"] += 1
        await self._write("finish stage", stages.finish(claim, SEPARATION, digest, [made]))
        self._holds_on()
        return made


class SimulatedDeliverer(Deliverer):
    """The real one but for the request, and for death in the middle of it."""

    def __init__(self, fleet: Fleet, worker: SimulatedWorker) -> None:
        super().__init__(fleet.context)
        self._fleet = fleet
        self._worker = worker
        self._random = random.Random(worker.name)

    @property
    def is_busy(self) -> bool:
        return bool(self._running)

    async def begin(self) -> bool:
        return bool(await self._fleet.stopwatch.time("callbacks: claim", self._start_due()))

    async def _deliver(self, outbox: Outbox) -> None:
        with self._fleet.clock.process():
            try:
                await super()._deliver(outbox)
            except Gone:
                self._fleet.ledger.events["callbacks cut off"] += 1
                self._fleet.mail_due_s.append(self._fleet.clock.now_s + HOLD_S)

    async def _send(self, outbox: Outbox) -> Attempt:
        receiver = next(item for item in self._fleet.receivers.values() if item.url == outbox.url)
        await self._worker.spend(receiver.answer_s / 2)
        if self._fleet.clock.now_s < receiver.up_from_s or self._random.random() < receiver.fails:
            await self._worker.spend(receiver.answer_s / 2)
            return Attempt(503, "HTTP status 503")
        receiver.accepted[outbox.id] += 1
        await self._worker.spend(receiver.answer_s / 2)
        return Attempt(200, None)

    def _next(self, outbox: Outbox, attempt: Attempt) -> tuple[OutboxState, int]:
        state, due_ms = super()._next(outbox, attempt)
        self._fleet.ledger.events[f"callback attempts answered {attempt.status_code}"] += 1
        if state == OutboxState.PENDING:
            self._fleet.mail_due_s.append(self._fleet.clock.now_s + (due_ms - self._fleet.clock.now_ms()) / 1000)
        return state, due_ms
