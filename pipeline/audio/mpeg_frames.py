"""Recognising streams of MPEG audio (MP3) and ADTS (AAC) frames, which have no magic number of their own.

A frame starts with eleven set bits, which chance produces every 2 kB; so a frame counts only when the place
its length points to holds another one of the same kind.  Header fields after ISO/IEC 11172-3 section 2.4.1.3,
ISO/IEC 13818-3 and, for ADTS, ISO/IEC 14496-3 section 1.A.2.
"""

from typing import Literal, NamedTuple

_CHAIN = 3  # three matching headers at the right distances: by chance once in 1e9 windows of 64 kB

_BITRATES_KBPS = {  # by (is MPEG-1, layer), index 1-14
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # by version bits


class _Frame(NamedTuple):
    codec: Literal["mp3", "aac"]
    kind: int  # the header bits that stay the same throughout a stream
    length: int


def find_frames(data: bytes, *, whole: bool) -> Literal["mp3", "aac"] | None:
    """Which kind of frames ``data`` holds, wherever in it they begin.

    Args:
        data: the first part of a file after any tags, e.g. 64 kB.
        whole: ``data`` reaches to the end of the file, so that a chain may be cut short by it.

    Returns:
        "mp3" (any MPEG audio layer), "aac", or None.
    """
    at = data.find(b"\xff")
    while at >= 0:
        if codec := _chain_at(data, at, ends_file=whole and at == 0):
            return codec
        at = data.find(b"\xff", at + 1)
    return None


def _chain_at(data: bytes, at: int, *, ends_file: bool) -> Literal["mp3", "aac"] | None:
    first = frame = _parse(data[at : at + 6])
    for _ in range(_CHAIN - 1):
        if first is None or frame is None or frame.kind != first.kind:
            return None
        at += frame.length
        if ends_file and at >= len(data):
            return first.codec
        frame = _parse(data[at : at + 6])
    return first.codec if first and frame and frame.kind == first.kind else None


def _parse(header: bytes) -> _Frame | None:
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer_bits = header[1] >> 3 & 3, header[1] >> 1 & 3
    kind = (header[1] & 0xFE) << 8 | header[2] & 0x0C
    if layer_bits == 0:
        length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
        is_adts = header[1] & 0xF0 == 0xF0 and header[2] >> 2 & 15 < 13 and length > 7
        return _Frame("aac", kind, length) if is_adts else None
    bitrate_index, rate_index, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or bitrate_index in (0, 15) or rate_index == 3:
        return None
    layer = 4 - layer_bits
    bitrate = 1000 * _BITRATES_KBPS[version == 3, layer][bitrate_index - 1]
    rate_hz = _RATES_HZ[version][rate_index]
    if layer == 1:
        return _Frame("mp3", kind, (12 * bitrate // rate_hz + padding) * 4)
    slots = 72 if layer == 3 and version != 3 else 144
    return _Frame("mp3", kind, slots * bitrate // rate_hz + padding)
