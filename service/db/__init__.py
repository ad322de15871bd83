"""The database: tables, connections and migrations.  Queries live in :mod:`service.store`."""
