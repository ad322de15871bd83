"""What runs in a decoder's process: take on limits, then become ffmpeg, or decode with libsndfile.

Run by path, not as a module, so that it starts with nothing of the package::

    decode_worker.py CPU_S MEMORY_BYTES exec PROGRAM ARGUMENT...
    decode_worker.py CPU_S MEMORY_BYTES libsndfile FILE SUBTYPE...

The second writes a line of JSON (``rate_hz``, ``channels``, ``frames``: null if not declared, ``subtype``) and
then the samples, as interleaved float32 in the machine's byte order; float64 where the subtype is among those named.
"""

import json
import os
import resource
import sys
import types
from typing import Any

NOT_READABLE = 66  # libsndfile cannot open it, or would not read all of it; nothing was written
BROKE_OFF = 65  # decoding failed in the middle; what was written is good
MAX_WRITTEN_BYTES = 1 << 20  # to files, of which there is one: stderr

_MAX_FILES = 32
_BLOCK_FRAMES = 1 << 15
_BLOCK_FRAMES_OF_FLAC = 4096  # one of its own frames: what comes before a damaged one still gets out
_UNKNOWN_FRAMES = 1 << 62  # and more, says libsndfile of a FLAC that was written to a pipe


def take_limits(cpu_s: int, memory_bytes: int) -> None:
    """Bound this process, and what it becomes, for good."""
    bounds = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: MAX_WRITTEN_BYTES,
        resource.RLIMIT_NOFILE: _MAX_FILES,
    }
    if sys.platform != "darwin":  # where it is accepted but not obeyed, or refused
        bounds[resource.RLIMIT_AS] = memory_bytes
    for bound, value in bounds.items():
        _, hard = resource.getrlimit(bound)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(bound, (value, value))


class _Unused(types.ModuleType):
    """Stands for a package that is only named in type annotations."""

    def __getattr__(self, name: str) -> Any:
        return list


def _soundfile() -> Any:
    """The package soundfile, without numpy if that goes: 0.05 s instead of 0.2, and we read into plain buffers."""
    sys.modules["numpy"] = _Unused("numpy")
    try:
        import soundfile
    except (ImportError, AttributeError, TypeError):
        del sys.modules["numpy"]
        import soundfile
    return soundfile


def decode(path: str, float64_for: list[str]) -> int:
    """Write a file's samples to stdout; the exit status."""
    soundfile = _soundfile()  # not at the top: becoming ffmpeg does not need it

    class Stream(soundfile.SoundFile):  # type: ignore[misc, name-defined]
        """Read from start to end: without the seek after every block, which fails at the end of some FLACs."""

        def seekable(self) -> bool:
            return False

    try:
        file = Stream(path)
    except (soundfile.LibsndfileError, MemoryError, TypeError):  # the last of a name that ends in .raw
        return NOT_READABLE
    # A recorder that was cut off leaves a length of zero, which ffmpeg reads past; and of MPEG audio without
    # an index libsndfile reports, and reads, only a part.
    if file.frames == 0 or file.subtype.startswith("MPEG"):
        return NOT_READABLE
    header = {
        "rate_hz": file.samplerate,
        "channels": file.channels,
        "frames": file.frames if file.frames < _UNKNOWN_FRAMES else None,
        "subtype": file.subtype,
    }
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n")
    sample, sample_bytes = ("float64", 8) if file.subtype in float64_for else ("float32", 4)
    frame_bytes = sample_bytes * file.channels
    block_frames = _BLOCK_FRAMES_OF_FLAC if file.format == "FLAC" else _BLOCK_FRAMES
    block = memoryview(bytearray(block_frames * frame_bytes))
    left = file.frames
    try:
        # Never ask for more than is left: libFLAC would take a tag at the end of the file for a broken frame.
        while left and (n := file.buffer_read_into(block[: min(block_frames, left) * frame_bytes], sample)):
            sys.stdout.buffer.write(block[: n * frame_bytes])
            left -= n
    except (soundfile.LibsndfileError, MemoryError):
        return BROKE_OFF
    finally:
        sys.stdout.buffer.flush()
    return 0


def main() -> None:
    """Do what the command line says."""
    cpu_s, memory_bytes, what, *rest = sys.argv[1:]
    take_limits(int(cpu_s), int(memory_bytes))
    if what == "exec":
        os.execv(rest[0], rest)  # noqa: S606  (no shell)
    sys.exit(decode(rest[0], rest[1:]))


if __name__ == "__main__":
    main()
