"""Runs migrations on the connection that the caller put into ``config.attributes["connection"]``.

The caller owns the transaction, and holds a lock in it: an upgrade happens whole or not at all, and once.
"""

from alembic import context

from service.db.models import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
context.run_migrations()
