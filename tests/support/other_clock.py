"""A process whose clock is wrong: ``python -m support.other_clock FILE MODULE ARGUMENT...``.

By how many seconds, the file tells, at any moment anew; the steady clock is as ever, as it is when a clock is set.
"""

import runpy
import sys
import time
from pathlib import Path


def set_off(file: Path) -> None:
    """Put what the file says between this process and the time of day."""
    real_ns = time.time_ns

    def time_ns() -> int:
        return real_ns() + int(float(file.read_text()) * 1e9)

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9


if __name__ == "__main__":
    offset_file, module, *arguments = sys.argv[1:]
    set_off(Path(offset_file))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
