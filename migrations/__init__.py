"""Alembic's environment and revisions; run through :meth:`service.db.database.Database.upgrade`."""
