"""The examples of the public documents, unchanged but for host, key and addresses: live service, signed webhooks."""

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import obstore
import pytest
import soundfile as sf
from numpy.typing import NDArray
from obstore.store import S3Store

from service.demo.__main__ import SONG
from support.audio import wav_bytes
from support.live import live_service
from support.musicgpt import audio, n_notes, note_events
from support.process import running_service
from support.s3 import BUCKET
from support.webhooks import SETTINGS, WebhookReceiver, webhook_receiver

EXAMPLES = (Path(__file__).with_name("clients") / "musicgpt_examples.txt").read_text(encoding="utf-8")
AUDIO_TO_MIDI, FILE_CONVERT = re.findall(r"```python\n(.*?)```", EXAMPLES, re.DOTALL)
[CURL] = re.findall(r"```sh\n(.*?)```", EXAMPLES, re.DOTALL)
REAL_SONG_S = 4.0
RATE_HZ = 44_100
PLUCKED_HZ = (261.63, 329.63, 392.0, 523.25)
REAL_PATIENCE_S = 240.0

Answers = list[dict[str, Any]]


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as found:
        yield found


def localised(example: str, base_url: str, token: str, receiver: WebhookReceiver) -> str:
    """An example with another host and key, and with addresses of this machine."""
    for there, here in (
        ("https://api.musicgpt.com", base_url),
        ("<<<api key>>>", token),
        ("<api_key>", token),
        ("https://example.com", receiver.base_url),
        ("https://your-webhook-url.com", receiver.base_url),
        ("https://yourdomain.com", receiver.base_url),
    ):
        example = example.replace(there, here)
    return example


def run(example: str, folder: Path) -> Answers:
    """The answers that a Python example prints."""
    own = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=folder, env=own, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return [ast.literal_eval(line) for line in done.stdout.splitlines()]


def curl(command: str) -> dict[str, Any]:
    """What curl does with an address, a method, headers and data; not every machine has it."""
    words = iter(shlex.split(command.replace("\\\n", "")))
    assert next(words) == "curl"
    method, address, data = "GET", "", ""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}  # what data is sent as if nothing is said
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(":")
            headers[name] = value.strip()
        elif word == "-d":
            data = next(words)
        else:
            address = word
    response = httpx.request(method, address, headers=headers, content=data.encode(), timeout=30)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def plucked() -> NDArray[np.float64]:
    """A few notes, one after the other, as of a string: mono."""
    at = np.arange(round(0.75 * RATE_HZ)) / RATE_HZ
    notes = [sum(np.sin(2 * np.pi * n * hz * at) * np.exp(-(2 + n) * at) / n for n in range(1, 9)) for hz in PLUCKED_HZ]
    return np.concatenate(notes) * 0.3


def file_at(link: str) -> bytes:
    return httpx.get(link, follow_redirects=True, timeout=30).raise_for_status().content


def check_notes(answer: dict[str, Any], receiver: WebhookReceiver, mode: str, timeout_s: float = 30.0) -> None:
    """See that the task's webhook came, and that its files open and hold the same notes."""
    assert answer["success"] is True
    sent = receiver.body(answer["task_id"], timeout_s)
    assert (sent["success"], sent["conversion_type"]) == (True, "Audio to MIDI"), sent
    assert (sent["message"], sent["mode"]) == ("Audio to Midi Completed", mode)
    assert sent["conversion_id"] == answer["conversion_id"]
    notes = n_notes(file_at(sent["midi_file_path"]))
    assert notes > 0
    assert len(note_events(file_at(sent["notes_file_path"]))) == notes
    assert audio(file_at(sent["sonify_file_path"]))[2] > 0.5


def test_audio_to_midi_by_address_and_by_upload(
    tmp_path: Path, database_url: str, storage_url: str, receiver: WebhookReceiver
) -> None:
    receiver.files["/audio_file.wav"] = wav_bytes()
    (tmp_path / "audio.wav").write_bytes(wav_bytes(1.5))
    with live_service(tmp_path, database_url=database_url, storage_url=storage_url, **SETTINGS) as live:
        answers = run(localised(AUDIO_TO_MIDI, live.base_url, live.token, receiver), tmp_path)
        assert len(answers) == 2
        for answer in answers:
            check_notes(answer, receiver, "song")


def test_file_convert_by_address_and_by_upload(
    tmp_path: Path, database_url: str, storage_url: str, receiver: WebhookReceiver
) -> None:
    mp3 = wav_bytes(rate_hz=48_000, container="MP3")
    receiver.files["/audio.mp3"] = mp3
    (tmp_path / "audio.mp3").write_bytes(mp3)
    by_address, by_upload = FILE_CONVERT.split("# Option 2: File Upload\n")
    # The page shows the second one as a comment that has lost its indentation.
    by_upload = by_upload.replace("# ", "").replace('\nfiles = {"audio', '\n    files = {"audio')
    by_upload = by_upload.replace("\nresponse =", "\n    response =")
    with live_service(tmp_path, database_url=database_url, storage_url=storage_url, **SETTINGS) as live:
        example = localised(by_address + by_upload, live.base_url, live.token, receiver)
        wav, flac = run(example, tmp_path)
        for answer, rate_hz, kind in ((wav, 44_100, "WAV"), (flac, 48_000, "FLAC")):
            sent = receiver.body(answer["task_id"])
            assert (sent["success"], sent["conversion_type"]) == (True, "File Conversion")
            assert sent["output_path"] == sent["conversion_path"] == answer["output_path"]
            path = tmp_path / kind
            path.write_bytes(file_at(answer["output_path"]))
            made = sf.info(path)
            assert (made.format, made.samplerate, made.channels) == (kind, rate_hz, 2)
            assert made.subtype == ("PCM_16" if kind == "WAV" else "PCM_24")
            assert made.duration == pytest.approx(1.0, abs=0.001)


def test_curl(tmp_path: Path, size: str, database_url: str, storage_url: str, receiver: WebhookReceiver) -> None:
    """JSON under the type that curl gives data by itself; an object of S3, where the service has S3."""
    with live_service(tmp_path, database_url=database_url, storage_url=storage_url, **SETTINGS) as live:
        example = localised(CURL, live.base_url, live.token, receiver)
        if size == "scaled":
            obstore.put(S3Store(BUCKET, client_options={"allow_http": True}), "input_audio.wav", wav_bytes())
            example = example.replace("s3://your-bucket", f"s3://{BUCKET}")
        else:
            receiver.files["/input_audio.wav"] = wav_bytes()
            example = example.replace("s3://your-bucket", receiver.base_url)
        check_notes(curl(example), receiver, "song")


@pytest.mark.weights
def test_the_same_with_the_real_pipeline(tmp_path: Path, receiver: WebhookReceiver) -> None:
    """A few seconds of a band by address, and of a single instrument by upload: what they are is heard."""
    song, rate_hz = sf.read(SONG, frames=round(REAL_SONG_S * sf.info(SONG).samplerate), dtype="int16")
    sf.write(tmp_path / "song.wav", song, rate_hz)
    receiver.files["/audio_file.wav"] = (tmp_path / "song.wav").read_bytes()
    sf.write(tmp_path / "audio.wav", plucked(), RATE_HZ)
    with running_service(tmp_path, **SETTINGS) as service:
        answers = run(localised(AUDIO_TO_MIDI, service.base_url, service.token, receiver), tmp_path)
        sent = [receiver.body(answer["task_id"], REAL_PATIENCE_S) for answer in answers]
        check_notes(answers[0], receiver, "song")
        check_notes(answers[1], receiver, "instrument")
        seconds = audio(file_at(sent[0]["sonify_file_path"]))[2]
        assert REAL_SONG_S <= seconds < REAL_SONG_S + 3
        found = httpx.get(
            f"{service.base_url}/api/public/v1/byId",
            params={"conversionType": "AUDIO_TO_MIDI", "task_id": answers[0]["task_id"]},
            headers={"Authorization": service.token},
            timeout=30,
        ).json()
        assert found["conversion"]["midi_file_path"] == sent[0]["midi_file_path"]
