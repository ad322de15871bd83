"""Decoded audio as a WAV file."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.audio.encode import AudioWriter, quantise
from pipeline.audio.source import AudioSource
from pipeline.errors import AudioLimitExceeded
from pipeline.progress import OnProgress, unheard

MAX_WAV_BYTES = (1 << 32) - (1 << 16)  # sizes in a WAV have 32 bits; what is left is more than its header takes


@dataclass(frozen=True, slots=True)
class WavFile:
    """A WAV file on disk."""

    path: Path
    duration_s: float


def write_wav(audio: AudioSource, path: Path, on_progress: OnProgress = unheard) -> WavFile:
    """Write audio as PCM of its own rate, channels and resolution (:attr:`AudioSource.bits`).

    Samples beyond full scale are cut off there.  The file appears when it is complete, in place of one of that name:
    after an error, or an exception raised by ``on_progress``, there is none.

    Args:
        audio: what to write, at most :data:`MAX_WAV_BYTES` of it.
        path: the file, ``.wav``, in an existing folder.
        on_progress: told of every block.

    Raises:
        AudioLimitExceeded: more audio than a WAV can hold.
        OSError: it cannot be written, as on a full disk.
    """
    n_bytes = audio.n_samples * audio.channels * audio.bits // 8
    if n_bytes > MAX_WAV_BYTES:
        raise AudioLimitExceeded(
            f"As WAV the audio would have {n_bytes} bytes; the format ends at {MAX_WAV_BYTES} bytes. Use the FLAC file."
        )
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=path.parent) as folder:
        unfinished = Path(folder, "audio.wav")
        with AudioWriter(unfinished, audio.rate_hz, audio.channels, audio.bits) as file:
            for block in audio.blocks(on_progress=on_progress):
                file.write(quantise(block, audio.bits))
        unfinished.replace(path)
    return WavFile(path, audio.duration_s)
