"""What somebody in a fleet must do every few seconds: return what dead workers held, and ring again for what is due."""

from service.context import Context
from service.db.models import Queue
from service.worker.janitor import Janitor
from service.worker.worker import Worker

_MOST_RINGS = 100  # of one queue at a time: a worker that was rung for looks on by itself


class Rounds:
    """Made by any process, as often as wanted; two at once do no harm.

    Args:
        context: the service's adapters.
        worker: of this process; what it is doing is not taken from it.
    """

    def __init__(self, context: Context, worker: Worker) -> None:
        self._context = context
        self._janitor = Janitor(context)
        self._worker = worker

    async def make(self) -> None:
        """One round."""
        lease_s = self._context.settings.lease_seconds
        if self._context.database.away_s_ago() > lease_s:  # else nobody could renew a lease, and all must have a chance
            await self._janitor.reap_leases(alive=self._worker.doing)
        if self._context.settings.redis_url:
            await self.ring_due()

    async def ring_due(self) -> None:
        """Ring for every task that is due; a ring that nobody has answered yet is not doubled."""
        for queue in Queue:
            for task_id in await self._context.store.leases.due(queue, _MOST_RINGS):
                self._context.doorbell.ring(queue, task_id)
