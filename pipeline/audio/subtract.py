"""What is left of audio without a part of it, to the bit."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.audio.encode import AudioWriter, quantise
from pipeline.audio.source import AudioSource
from pipeline.errors import CorruptAudio
from pipeline.progress import OnProgress, unheard


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left, as a FLAC file."""

    path: Path
    duration_s: float


def subtract(mix: AudioSource, part: AudioSource, path: Path, on_progress: OnProgress = unheard) -> Rest:
    """Write the difference of two recordings as FLAC, of the mix's rate, channels and resolution.

    The integers of the two files are subtracted, so that the part and the rest add up to the mix exactly, but where the
    difference is beyond full scale.  The file appears when it is complete.

    Args:
        mix: the whole.
        part: what to take out of it: of the same rate, length, channels and bits, as stems of the mix are.
        path: the file, ``.flac``, in an existing folder.
        on_progress: told of every block.

    Raises:
        CorruptAudio: the part is not of the mix's shape.
        OSError: it cannot be written, as on a full disk.
    """
    shape = (mix.rate_hz, mix.channels, mix.n_samples, mix.bits)
    if shape != (part.rate_hz, part.channels, part.n_samples, part.bits):
        raise CorruptAudio(
            "The part is not of the rate, length, channels and bits of the mix that it is to be taken out of."
        )
    full_scale = 1 << (mix.bits - 1)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=path.parent) as folder:
        unfinished = Path(folder, "rest.flac")
        with AudioWriter(unfinished, mix.rate_hz, mix.channels, mix.bits) as file:
            for whole, taken in zip(mix.blocks(on_progress=on_progress), part.blocks(), strict=True):
                left = quantise(whole, mix.bits) - quantise(taken, mix.bits)
                file.write(left.clip(-full_scale, full_scale - 1))
        unfinished.replace(path)
    return Rest(path, mix.duration_s)
