"""Every query of the service, grouped by what it is about; nothing outside this package touches a session.

Each method is one transaction.
"""

from dataclasses import dataclass

from service.clock import Clock
from service.db.database import Database
from service.settings import Settings
from service.store.keys import KeyStore
from service.store.leases import LeaseStore
from service.store.outbox import OutboxStore
from service.store.tasks import TaskStore

__all__ = ["KeyStore", "LeaseStore", "OutboxStore", "Store", "TaskStore"]


@dataclass(frozen=True, slots=True)
class Store:
    """The stores over one database."""

    keys: KeyStore
    tasks: TaskStore
    leases: LeaseStore
    outbox: OutboxStore

    @classmethod
    def over(cls, database: Database, clock: Clock, settings: Settings) -> "Store":
        """All stores over ``database``."""
        return cls(
            keys=KeyStore(database, clock),
            tasks=TaskStore(database, clock, settings.retention_ms),
            leases=LeaseStore(database, clock, settings.lease_seconds * 1000, settings.retention_ms),
            outbox=OutboxStore(database, clock),
        )
