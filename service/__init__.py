"""The service: API, tasks, workers, callbacks, storage and command line around :mod:`pipeline`."""

__version__ = "0.1.0"
