"""Every query of the service, grouped by what it is about; nothing outside this package touches a session.

Each method is one transaction.
"""

from dataclasses import dataclass

from service.clock import Clock
from service.db.database import Database
from service.prices import parse_prices
from service.settings import Settings
from service.store.admission import Limits
from service.store.idempotency import IdempotencyStore
from service.store.keys import KeyStore
from service.store.leases import LeaseStore
from service.store.outbox import OutboxStore
from service.store.speeds import SpeedStore
from service.store.tasks import TaskStore

__all__ = ["IdempotencyStore", "KeyStore", "LeaseStore", "OutboxStore", "SpeedStore", "Store", "TaskStore"]


@dataclass(frozen=True, slots=True)
class Store:
    """The stores over one database."""

    keys: KeyStore
    tasks: TaskStore
    leases: LeaseStore
    outbox: OutboxStore
    idempotency: IdempotencyStore
    speeds: SpeedStore

    @classmethod
    def over(cls, database: Database, clock: Clock, settings: Settings) -> "Store":
        """All stores over ``database``."""
        limits = Limits(
            rate_tasks=settings.rate_limit_tasks,
            rate_seconds=settings.rate_limit_seconds,
            in_flight=settings.max_tasks_in_flight,
            prices=parse_prices(settings.prices),
        )
        return cls(
            keys=KeyStore(database, clock),
            tasks=TaskStore(database, clock, limits, settings.retention_ms),
            leases=LeaseStore(database, clock, limits, settings.lease_seconds * 1000, settings.retention_ms),
            outbox=OutboxStore(database, clock),
            idempotency=IdempotencyStore(database, clock),
            speeds=SpeedStore(database, clock),
        )
