"""Any audio file to raw samples on disk, however hostile the file.

Decoding happens in another process (:mod:`pipeline.audio.child`); this one only counts and copies what comes
out of its pipe, and stops it at the duration limit whatever a header said.

libsndfile reads PCM files and FLAC: it is small, exact, and notices a damaged FLAC frame, which ffmpeg plays
over.  ffmpeg reads everything else, and more than two channels.  MP3 and Ogg are left to ffmpeg although
libsndfile knows them: of a variable-bitrate MP3 without an index libsndfile 1.2.2 reports and reads a part
(4.0 s of 10.0 s in our test file), of Ogg streams joined end to end the first.  Where both read an MP3 they
agree to 2e-6 and on its length: both drop the samples that the encoder's tag calls delay and padding.

The first sample of the file's audio is the first sample of the result: encoder delay that a file declares
(MP3 tags, MP4 edit lists, Opus pre-skip) is dropped, gaps and late starts of a film's sound are not filled.
WMA declares none: ffmpeg drops the two frames that Microsoft's encoder adds.

A file that ends before its declared length is refused rather than cut short in silence: with no tolerance for
what libsndfile reads, 0.05 s for other lossless coding (ffmpeg tells lengths in hundredths), and for lossy
coding 1 % or half a second, since those files are commonly ragged.  Streams that declare no length (AAC
and MP3 without an index, Ogg) are taken for what they hold.
"""

import os
import tempfile
from pathlib import Path

from pipeline.audio.limits import DecodeLimits
from pipeline.audio.source import AudioSource
from pipeline.audio.stream import open_audio
from pipeline.progress import OnProgress, unheard

__all__ = ["DecodeLimits", "decode"]


def decode(
    path: Path, scratch: Path, limits: DecodeLimits | None = None, on_progress: OnProgress = unheard
) -> AudioSource:
    """Decode an audio file.

    Args:
        path: any file.
        scratch: existing folder for the raw samples, 8 bytes per sample of stereo.
        limits: the defaults of :class:`~pipeline.audio.limits.DecodeLimits` if not given.
        on_progress: told at least four times a second; 0 until the end of a stream that declares no length.

    Returns:
        The samples at the file's own rate, mono or stereo (more channels are mixed down).  Values that are not
        finite, or beyond 1000 times full scale, are zero; other values beyond full scale are kept.

    Raises:
        UnsupportedAudio: not audio that is read here; says what it is.
        AudioLimitExceeded: beyond a limit; names it.
        CorruptAudio: damaged or incomplete, empty, or crashes the decoder.
    """
    with open_audio(path, limits or DecodeLimits(), on_progress) as stream:
        descriptor, name = tempfile.mkstemp(dir=scratch, prefix="decoded-", suffix=".f32")
        n_samples = 0
        try:
            with os.fdopen(descriptor, "wb") as out:
                for block in stream.blocks():
                    out.write(block.data)
                    n_samples += len(block)
        except BaseException:
            Path(name).unlink()
            raise
        info = stream.info
    return AudioSource(Path(name), info.rate_hz, stream.channels, n_samples, info.bits)
