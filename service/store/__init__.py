"""Every query of the service, grouped by what it is about; nothing outside this package touches a session.

Each method is one transaction.
"""

from dataclasses import dataclass

from service.clock import Clock
from service.db.database import Database
from service.digests import Digests
from service.doorbell import Doorbell
from service.prices import parse_prices
from service.settings import Settings
from service.store.admission import Limits
from service.store.files import FileStore
from service.store.idempotency import IdempotencyStore
from service.store.keys import KeyStore
from service.store.leases import LeaseStore
from service.store.outbox import OutboxStore
from service.store.speeds import SpeedStore
from service.store.stages import StageStore
from service.store.statistics import StatisticsStore
from service.store.tasks import TaskStore

__all__ = [
    "FileStore",
    "IdempotencyStore",
    "KeyStore",
    "LeaseStore",
    "OutboxStore",
    "SpeedStore",
    "StageStore",
    "StatisticsStore",
    "Store",
    "TaskStore",
]


@dataclass(frozen=True, slots=True)
class Store:
    """The stores over one database."""

    keys: KeyStore
    tasks: TaskStore
    leases: LeaseStore
    outbox: OutboxStore
    idempotency: IdempotencyStore
    speeds: SpeedStore
    stages: StageStore
    files: FileStore
    statistics: StatisticsStore
    digests: Digests

    @classmethod
    def over(cls, database: Database, clock: Clock, settings: Settings, doorbell: Doorbell) -> "Store":
        """All stores over ``database``; the doorbell is rung for tasks that are due."""
        limits = Limits(
            rate_tasks=settings.rate_limit_tasks,
            rate_seconds=settings.rate_limit_seconds,
            in_flight=settings.max_tasks_in_flight,
            prices=parse_prices(settings.prices),
        )
        retention_ms = settings.retention_ms
        digests = Digests(settings.separation_model)
        leases = LeaseStore(
            database, clock, limits, doorbell, lease_ms=settings.lease_seconds * 1000, retention_ms=retention_ms
        )
        return cls(
            keys=KeyStore(database, clock),
            tasks=TaskStore(database, clock, limits, doorbell, digests, retention_ms=retention_ms),
            leases=leases,
            outbox=OutboxStore(database, clock),
            idempotency=IdempotencyStore(database, clock),
            speeds=SpeedStore(database, clock),
            stages=StageStore(database, clock, leases),
            files=FileStore(database, clock),
            statistics=StatisticsStore(database, clock),
            digests=digests,
        )
