"""Segments of several songs, separated together: whatever waits for the device goes into its next batch.

No thread belongs to the device.  Of the songs' threads that wait for a segment one leads: it runs the next batch, for
itself and for whoever fits in, and hands out what came of it; the others wait for that.  Songs take turns in leading
and in filling up a batch: the one whose turn was longest ago comes first, and of those that had none the oldest.
"""

import threading
from bisect import insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from operator import attrgetter
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.errors import OutOfMemory
from pipeline.separation.networks import Networks

OnBatch = Callable[[int, int], None]
"""Told the number of segments in a batch that was run, and how many it had room for; by whichever thread ran it."""

# How long a batch that is not full is held back when other songs may put more into it.  A batch costs the same however
# full it is.  One of 16 segments of htdemucs (254 GFLOP each) takes 4 ms at the peak of an H200 (990 TFLOP/s), which
# no network reaches, and longer anywhere else: waiting costs less than the batch that it may save.
FILLING_S = 0.005
_TELL_EVERY_S = 0.25  # how soon a song that waits for others' batches can be stopped


class Batcher:
    """Runs networks on batches of the segments that several threads want separated.

    What comes of a segment does not depend on what else is in its batch.  Kernels are chosen by shape, so a batch
    always has the same, missing segments being silence.  In which order a kernel adds up depends on the place (of three
    rows the second comes out otherwise than the first by 1e-7, in float32 on a CPU), so a segment has its row.

    Args:
        networks: used by nobody else.
        batch_size: segments in a batch.  When memory runs out it is halved, for good.
        on_batch: see :data:`OnBatch`.
        filling_s: how long a batch may be held back for a fuller one.
    """

    def __init__(
        self, networks: Networks, batch_size: int, on_batch: OnBatch | None = None, *, filling_s: float = FILLING_S
    ) -> None:
        self._networks = networks
        self._batch_size = batch_size
        self._on_batch = on_batch or _unheard
        self._filling_s = filling_s
        self._changed = threading.Condition()  # guards all that follows, and what a lane lets the batcher see
        self._turns: deque[Lane] = deque()  # those that are open; whose turn is next comes first
        self._leader: Lane | None = None

    @property
    def batch_size(self) -> int:
        """Segments in a batch, and how many a song should put before it takes the first."""
        return self._batch_size

    def lane(self, stems: tuple[int, ...], n_segments: int, first: int = 0) -> "Lane":
        """A song's place in the queue.

        Args:
            stems: which of the model's sources are wanted of it.
            n_segments: how many segments it will put.
            first: number of the first one, which decides the rows: the same for the same song, but others for
                others, lest their last batches, where rows stay empty, could not be shared.
        """
        return Lane(self, stems, n_segments, first)

    def _join(self, lane: "Lane") -> None:
        with self._changed:
            self._turns.append(lane)

    def _leave(self, lane: "Lane") -> None:
        with self._changed:
            lane.closed = True
            lane.pending.clear()
            self._turns.remove(lane)
            self._changed.notify_all()

    def _put(self, ticket: "_Ticket") -> None:
        with self._changed:
            ticket.lane.pending.append(ticket)
            ticket.lane.n_to_come -= 1
            self._changed.notify_all()

    def _finish(self, ticket: "_Ticket", tell: Callable[[], None]) -> None:
        """See to it that a lane's oldest ticket has its outcome; ``tell`` may raise, which passes through."""
        tell()
        while ticket.outcome is None:
            if self._may_lead(ticket):
                self._lead(ticket.lane, tell)
            else:
                tell()

    def _may_lead(self, ticket: "_Ticket") -> bool:
        """Wait for the outcome, or for the turn to run a batch; not longer than until the song's caller is told."""
        lane = ticket.lane
        with self._changed:
            lane.waits_for = ticket
            self._changed.wait_for(lambda: ticket.outcome is not None or self._leads_next(lane), _TELL_EVERY_S)
            leads = ticket.outcome is None and self._leads_next(lane)
            lane.waits_for = None
            if leads:
                self._leader = lane
            return leads

    def _leads_next(self, lane: "Lane") -> bool:
        return self._leader is None and next(other for other in self._turns if other.waits) is lane

    def _lead(self, lane: "Lane", tell: Callable[[], None]) -> None:
        """Run a batch with the lane's oldest segment in it.  The device is this thread's until it returns."""
        batch: list[_Ticket] = []
        stopped: list[BaseException] = []

        def on_network() -> None:
            # What stops this song must not stop those that share its batch.
            if not stopped:
                try:
                    tell()
                except BaseException as error:
                    stopped.append(error)
                    lane.closed = True
            if all(ticket.lane.closed for ticket in batch):
                raise _UnwantedError

        try:
            batch += self._next_batch(lane)
            self._run(batch, on_network)
        finally:
            with self._changed:
                for ticket in batch:
                    if ticket.outcome is None and not ticket.lane.closed:
                        insort(ticket.lane.pending, ticket, key=attrgetter("number"))
                self._leader = None
                self._changed.notify_all()
        if stopped:
            raise stopped[0]

    def _next_batch(self, leader: "Lane") -> "list[_Ticket]":
        """The leader's oldest segment, and those of others and more of its own in turns, as long as rows are free."""
        with self._changed:
            self._changed.wait_for(lambda: not self._may_get_fuller(leader), self._filling_s)
            self._turns.remove(leader)
            self._turns.appendleft(leader)
            batch: dict[int, _Ticket] = {}
            while ticket := next(
                (ticket for lane in self._turns for ticket in lane.pending if self._row(ticket) not in batch), None
            ):
                batch[self._row(ticket)] = ticket
                ticket.lane.pending.remove(ticket)
                self._turns.remove(ticket.lane)
                self._turns.append(ticket.lane)
            return list(batch.values())

    def _row(self, ticket: "_Ticket") -> int:
        return ticket.number % self._batch_size

    def _may_get_fuller(self, leader: "Lane") -> bool:
        """Whether there is room in the next batch, and a song that is about to put something."""
        filled = {self._row(ticket) for lane in self._turns for ticket in lane.pending}
        coming = (lane.n_to_come and not lane.waits for lane in self._turns if lane is not leader)
        return len(filled) < self._batch_size and any(coming)

    def _run(self, batch: "list[_Ticket]", on_network: Callable[[], None]) -> None:
        """Give every ticket its outcome; none where nobody wants it any more, or the next batch has to be smaller."""
        size = self._batch_size
        windows = torch.zeros(size, *batch[0].window.shape)
        for ticket in batch:
            windows[self._row(ticket)] = torch.from_numpy(ticket.window)
        wanted = {self._row(ticket): ticket.lane.stems for ticket in batch}
        try:
            outcomes = self._networks.estimate(windows, wanted, on_network)
        except _UnwantedError:
            return
        except torch.OutOfMemoryError:
            pass  # seen to below: here the traceback still holds what fills the memory
        except Exception as error:
            self._blame(batch, error, on_network)
            return
        else:
            for ticket in batch:
                ticket.outcome = outcomes[self._row(ticket)]
            self._on_batch(len(batch), size)
            return
        torch.cuda.empty_cache()
        if size > 1:
            self._batch_size = size // 2
        else:
            batch[0].outcome = OutOfMemory(
                "The device has not enough free memory to separate even one segment. Stop what else uses it, or "
                "take another device."
            )

    def _blame(self, batch: "list[_Ticket]", error: Exception, on_network: Callable[[], None]) -> None:
        """Let only that song fail with which a batch fails: run each segment by itself."""
        if len(batch) == 1:
            batch[0].outcome = error
        else:
            for ticket in batch:
                if not ticket.lane.closed:
                    self._run([ticket], on_network)


class Lane:
    """A song's segments on their way through the batches, in order; a context manager that leaves none behind.

    For one thread at a time.  How many segments are kept is up to that thread: :attr:`room` says how many are useful.
    What is not private is seen by the batcher, and changed under its lock.
    """

    def __init__(self, batcher: Batcher, stems: tuple[int, ...], n_segments: int, first: int) -> None:
        self._batcher = batcher
        self._numbers = count(first)
        self._tickets: deque[_Ticket] = deque()  # put, and not taken yet
        self.stems = stems
        self.n_to_come = n_segments
        self.pending: list[_Ticket] = []  # those of them that are in no batch yet, in order
        self.waits_for: _Ticket | None = None
        self.closed = False

    @property
    def waits(self) -> bool:
        """Whether its thread can do nothing but lead a batch, or wait for one."""
        return self.waits_for is not None and self.waits_for.outcome is None  # with one, it has not woken up yet

    @property
    def room(self) -> int:
        """How many segments to put before the next is taken, so that this song alone fills a batch."""
        return max(self._batcher.batch_size - len(self._tickets), 0)

    def put(self, window: NDArray[np.float32]) -> None:
        """Ask for a segment: float32, shape (channels, n_samples)."""
        ticket = _Ticket(self, next(self._numbers), window)
        self._tickets.append(ticket)
        self._batcher._put(ticket)

    def take(self, tell: Callable[[], None]) -> NDArray[np.float32]:
        """The estimate of the oldest segment that was put and not taken: float32, (n_stems, channels, n_samples).

        Args:
            tell: called at once, before each network hears a batch of this thread's, and four times a second while
                other threads' batches are run.  An exception that it raises passes through; others do not notice.

        Raises:
            ModelError: the networks give values that are not numbers.
            OutOfMemory: the device has too little memory for a batch of one segment.
        """
        ticket = self._tickets.popleft()
        self._batcher._finish(ticket, tell)
        if isinstance(ticket.outcome, Exception):
            raise ticket.outcome
        assert ticket.outcome is not None  # noqa: S101  (finished)
        return ticket.outcome

    def __enter__(self) -> Self:
        self._batcher._join(self)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._batcher._leave(self)


@dataclass(eq=False, slots=True)
class _Ticket:
    """A segment that is to be separated, and what came of that."""

    lane: Lane
    number: int
    window: NDArray[np.float32]
    outcome: NDArray[np.float32] | Exception | None = None


class _UnwantedError(Exception):
    """Every song with a segment in the batch has been stopped."""


def _unheard(_n_segments: int, _batch_size: int) -> None:
    """An observer that nobody asked for."""
