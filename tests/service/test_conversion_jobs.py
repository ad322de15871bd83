"""What conversions make by themselves: the format that is nearest, a size that is bounded, estimates that last."""

import dataclasses
from typing import Any

import pytest

from pipeline.audio.info import AudioInfo
from pipeline.audio.sniff import AIFF, ASF, FLAC, MATROSKA, MP3, MP4, OGG, WAV, Container
from service.context import Context
from service.worker.conversions import own_format
from support.api import Api
from support.audio import wav_bytes
from support.musicgpt import PREFIX, by_id, key


@pytest.mark.parametrize(
    ("container", "codec", "is_lossless", "expected"),
    [
        (WAV, "pcm_24", True, "wav"),
        (WAV, "float", True, "wav"),
        (AIFF, "pcm_s16be", True, "wav"),
        (FLAC, "pcm_16", True, "flac"),
        (MP4, "alac", True, "flac"),
        (MP4, "pcm_s16le", True, "wav"),
        (MATROSKA, "flac", True, "flac"),
        (OGG, "flac", True, "flac"),
        (MP4, "aac", False, "aac"),
        (MP3, "mp3", False, "mp3"),
        (OGG, "vorbis", False, "ogg"),
        (OGG, "opus", False, "ogg"),
        (MATROSKA, "opus", False, "webm"),
        (ASF, "wmav2", False, "mp3"),
    ],
)
def test_what_is_lossless_stays_so(container: Container, codec: str, is_lossless: bool, expected: str) -> None:
    info = AudioInfo(container, codec, 44_100, 2, 1.0, is_lossless, 16)
    assert own_format(info) == expected


async def asked(api: Api, **fields: Any) -> str:
    body = {"target_format": "wav", **fields}
    files = {"audio_file": ("song.wav", wav_bytes(3.0, 8_000))}
    made = await api.http.post(f"{PREFIX}/file_convert", data=body, files=files, headers=key(api))
    task_id: str = made.json()["task_id"]
    await api.work()
    return task_id


async def test_a_file_that_becomes_too_large_fails_for_good(api: Api) -> None:
    api.context.settings = dataclasses.replace(api.context.settings, max_output_mb=1)
    small = await by_id(api, "FILE_CONVERT", task_id=await asked(api, target_sr=16_000))
    assert small.json()["conversion"]["status"] == "COMPLETED"
    large = await by_id(api, "FILE_CONVERT", task_id=await asked(api, target_sr=192_000, target_bit_depth=32))
    shown = large.json()["conversion"]
    assert (shown["status"], shown["output_path"]) == ("FAILED", "")
    assert "larger than the limit, which is 1 MB" in shown["status_msg"]


async def test_a_tiny_file_does_not_spoil_estimates(context: Context) -> None:
    speeds = context.store.speeds
    await speeds.learn({"cut": 1.0}, 0.001)
    await speeds.learn({"speed": 20.0}, 40.0)
    assert await speeds.all() == {"cut": pytest.approx(0.1), "speed": pytest.approx(0.5)}
