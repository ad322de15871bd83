"""The demo: ``python -m service.demo [SONG]``; ends non-zero when any part of it fails."""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from service.demo.client import Client, DemoError
from service.demo.receiver import CallbackReceiver
from service.demo.score import score_notes

SONG = Path(__file__).parent / "song" / "harbour-lights.ogg"
TRUTH = SONG.with_name("harbour-lights.notes.json")
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 40.0
_CALLBACK_TIMEOUT_S = 30.0
_NOTE_FILES = {
    "midi": "song.mid",
    "csv": "notes.csv",
    "musicxml": "score.musicxml",
    "pianoRoll": "piano-roll.svg",
    "preview": "preview.mp3",
    "beats": "beats.json",
}

console = Console()


@contextlib.contextmanager
def _service(log: Path) -> Iterator[Client]:
    """A service of the demo's own: free port, empty data folder, its log in a file; stopped at the end."""
    with socket.socket() as probe, tempfile.TemporaryDirectory(prefix="stemscribe-demo-") as data_dir:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        environment = {
            **os.environ,
            "STEMSCRIBE_DATA_DIR": data_dir,
            "STEMSCRIBE_HOST": "127.0.0.1",
            "STEMSCRIBE_PORT": str(port),
            "STEMSCRIBE_PUBLIC_URL": "",
            "STEMSCRIBE_DATABASE_URL": "",
            "STEMSCRIBE_ALLOW_ADDRESSES": "127.0.0.0/8",  # the demo's own callback receiver
        }
        command = [sys.executable, "-m", "service.cli"]
        made = subprocess.run([*command, "keys", "create", "demo"], env=environment, capture_output=True, text=True)
        if made.returncode:
            raise DemoError(f"no API key could be created: {made.stderr.strip()}")
        with log.open("w") as log_file:
            process = subprocess.Popen([*command, "serve"], env=environment, stdout=log_file, stderr=log_file)
            try:
                client = Client(f"http://127.0.0.1:{port}", made.stdout.strip())
                _await_ready(client, process)
                console.print(f"The service listens on http://127.0.0.1:{port} (log: {log}).")
                yield client
            finally:
                stop(process, _STOP_TIMEOUT_S)


def stop(process: "subprocess.Popen[bytes]", within_s: float) -> None:
    """Ask a process to end, and kill it when it has not within that time."""
    process.terminate()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await_ready(client: Client, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not client.is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise DemoError("the service did not become ready; its log says why")
        time.sleep(0.2)


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Any]:
    columns = (TextColumn(title), BarColumn(), TextColumn("{task.percentage:>3.0f}% {task.description}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda stage, fraction: progress.update(task, description=stage, completed=fraction)


def _callback(receiver: CallbackReceiver, path: str, task_id: str) -> None:
    body = receiver.wait_for(path, _CALLBACK_TIMEOUT_S)
    if body is None:
        raise DemoError(f"no callback came to {path} within {_CALLBACK_TIMEOUT_S:g} s")
    if body["code"] != 200 or body["data"]["taskId"] != task_id:
        raise DemoError(f"the callback to {path} says {body['code']}: {body['msg']}")
    console.print(f"Callback received: {body['msg']}")


def _run(song: Path, output: Path) -> tuple[dict[str, Any], float]:
    """The whole way over HTTP; returns the MIDI data and how long separation and transcription took."""
    with CallbackReceiver() as receiver, _service(output / "service.log") as client:
        uploaded = client.upload(song)
        console.print(f"Uploaded {song.name}: {uploaded['fileSize'] / 1e6:.1f} MB.")
        started = time.monotonic()
        separation = client.generate(
            "vocal-removal",
            taskId=uploaded["taskId"],
            audioId=uploaded["audioId"],
            type="split_stem",
            callBackUrl=receiver.url("/separated"),
        )
        with _bar("Stems") as show:
            stems = client.wait("vocal-removal", separation, show)["response"]["originData"]
        _callback(receiver, "/separated", separation)
        midi = client.generate("midi", taskId=separation, callBackUrl=receiver.url("/transcribed"))
        with _bar("Notes") as show:
            data: dict[str, Any] = client.wait("midi", midi, show)["midiData"]
        took_s = time.monotonic() - started
        _callback(receiver, "/transcribed", midi)
        for stem in stems:
            client.download(stem["audio_url"], output / f"{stem['stem_type_group_name'].lower()}.flac")
        for what, name in _NOTE_FILES.items():
            client.download(data["files"][what], output / name)
        for name, link in data["files"]["stems"].items():
            client.download(link, output / f"{name}.mid")
    return data, took_s


def _table(instruments: list[dict[str, Any]], truth: list[dict[str, Any]] | None) -> Table:
    table = Table("stem", "instrument", "notes")
    if truth is not None:
        for title in ("true notes", "precision", "recall", "F (50 ms)"):
            table.add_column(title, justify="right")
    for instrument in instruments:
        row = [instrument["stem"], instrument["name"], str(len(instrument["notes"]))]
        if truth is not None:
            known = [note for part in truth if part["stem"] == instrument["stem"] for note in part["notes"]]
            score = score_notes(instrument["notes"], known, drums=instrument["isDrum"])
            row += [str(score.n_true), f"{score.precision:.2f}", f"{score.recall:.2f}", f"{score.f_measure:.2f}"]
        table.add_row(*row)
    return table


def main() -> None:
    """Run the demo with the song that ships with it, or with any other."""
    parser = argparse.ArgumentParser(prog="stemscribe demo", description=__doc__)
    parser.add_argument("song", nargs="?", type=Path, default=SONG, help="any song; default: the one that ships")
    parser.add_argument("-o", "--output", type=Path, default=Path("demo-output"), help="default: demo-output")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    try:
        data, took_s = _run(arguments.song, arguments.output)
        if not data["instruments"]:
            raise DemoError("no notes were found in any stem")
    except (DemoError, OSError, subprocess.SubprocessError) as error:
        console.print(f"[red]The demo failed:[/red] {error}")
        sys.exit(1)
    truth = json.loads(TRUTH.read_text())["instruments"] if arguments.song == SONG else None
    console.print(_table(data["instruments"], truth))
    console.print(f"Stems and notes took {took_s:.1f} s. Everything is in {arguments.output}/.")


if __name__ == "__main__":
    main()
