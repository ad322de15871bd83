"""The worker: claims tasks, does them with :mod:`pipeline`, delivers callbacks, and keeps the house clean."""
