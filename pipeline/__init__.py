"""Audio in, notes out: decode -> separate -> transcribe -> assemble.

A library.  It imports nothing of the service, HTTP servers, SQL or queues (an import-linter contract).
Entry points compose, each adding one stage, so that the command line, the worker, the tests and notebooks
use the same ones; :mod:`pipeline.song` is the whole line.
"""
