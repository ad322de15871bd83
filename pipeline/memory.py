"""The C library's allocator, told to keep what it has."""

import ctypes
import sys

# mallopt's parameters, from glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8


def keep_freed_memory() -> bool:
    """Make this process reuse freed memory instead of giving it back; for processes that run networks on a CPU.

    Every layer's output is tens of megabytes.  By default glibc maps fresh pages for each and returns them at once,
    and clearing those pages again costs 2-6 % of a separation's processor time (15-18 % with demucs' own
    layers).  The process then stays
    as large as it ever was, which for a separation does not depend on the song.  Call it before threads start:
    threads with an arena of their own do not share what others freed.

    Returns:
        Whether it took effect; False on other systems than Linux with glibc, where nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    wanted = ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1))
    return all(mallopt(parameter, value) == 1 for parameter, value in wanted)
