"""The command line.

Exit codes: 0 everything done; 1 something failed (of several songs, at least one); 2 the command was called wrongly;
3 weights are missing and could not be fetched; 130 interrupted.  Progress and messages go to standard error, results
to standard output.
"""

from service.cli.main import main

__all__ = ["main"]
