"""How fast the API answers, on one core: ``python tests/bench/bench_api.py``.

1. Polls per second of a finished MIDI record of 5 000 notes, in both dialects, against a Litestar route of the same
   application that returns the same bytes from memory, without key, database or compression; several rounds in turn,
   one connection count, ratio of the medians.
2. Latency of ``midi/generate`` at 100 requests a second on SQLite: every answer is a task that is durably stored.

Server and client are bound to a core each.
"""

import argparse
import asyncio
import hashlib
import multiprocessing
import os
import statistics
import sys
import tempfile
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from litestar import Response, get

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline.notes import Instrument, Note
from service.api.app import create_app
from service.context import Context
from service.db.models import TaskKind
from service.keys import create_key
from service.notes import encoded_notes
from service.settings import Settings
from service.store.records import NewFile, NewNotes, NewTask, NewTrack, Outcome
from support.load import Connection, latencies, rate, request_bytes
from support.process import free_port

N_NOTES = 5000
CALLBACK = "http://93.184.215.14/callback"


def serve(port: int, data_dir: Path, ready: Pipe) -> None:
    """The API on the first core, with a route that answers what it was told, from memory."""
    os.sched_setaffinity(0, {0})
    asyncio.run(_serve(port, data_dir, ready))


async def _serve(port: int, data_dir: Path, ready: Pipe) -> None:
    settings = Settings(data_dir=data_dir, port=port, rate_limit_tasks=0, max_tasks_in_flight=0)
    context = Context(settings)
    await context.database.upgrade()
    token = await create_key(context, "bench")
    separation_id, midi_id = await _tasks(context, token)
    kept = {"body": b""}

    @get("/memory", sync_to_thread=False)
    def memory() -> Response[Any]:
        return Response(kept["body"], media_type="application/json")

    app = create_app(context)
    app.register(memory)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
        await asyncio.sleep(0.01)
    connection = await Connection.open(port)
    path = f"/api/v1/midi/record-info?taskId={midi_id}"
    status, kept["body"] = await connection.ask(request_bytes("GET", path, token))
    assert status == 200
    ready.send((token, separation_id, path, len(kept["body"])))
    await serving


async def _tasks(context: Context, token: str) -> tuple[str, str]:
    """A finished separation of one stem, and its transcription."""
    key = await context.store.keys.find(context.secrets.key_digest(token))
    assert key is not None
    notes = tuple(Note(40 + n % 50, n / 8, n / 8 + 0.1, 0.5 + n % 7 / 20) for n in range(N_NOTES))
    file = NewFile("stem", "bass.flac", "audio/flac", "tasks/aa/bass.flac", 10, "00" * 32)
    outcomes = {
        TaskKind.SEPARATION: Outcome(tracks=[NewTrack(file, "bass", 180.0)]),
        TaskKind.MIDI: Outcome(
            instruments=[
                NewNotes("track", part.name, 33, False, "bass", 0.9, encoded_notes(part))
                for part in (
                    Instrument("Electric Bass (finger)", 33, False, "bass", notes[::2]),
                    Instrument("Acoustic Grand Piano", 33, False, "bass", notes[1::2]),
                )
            ]
        ),
    }
    ids = []
    for kind, outcome in outcomes.items():
        ids.append((await context.store.tasks.create(NewTask(key_id=key.id, kind=kind))).id)
        claim = await context.store.leases.claim("bench")
        assert claim is not None
        await context.store.leases.succeed(claim, outcome)
    return ids[0], ids[1]


def polls(port: int, token: str, path: str, seconds: float, rounds: int) -> None:
    routes = {
        "from memory, no key": request_bytes("GET", "/memory", token),
        "record-info": request_bytes("GET", path, token),
        "record-info, gzip": request_bytes("GET", path, token, Accept_Encoding="gzip"),
    }
    _, answer = asyncio.run(_once(port, routes["record-info"]))
    etag = f'W/"{hashlib.sha256(answer).hexdigest()[:32]}"'
    routes["record-info, 304"] = request_bytes("GET", path, token, If_None_Match=etag)
    task = "/v1/tasks/" + path.partition("taskId=")[2]
    routes["native task"] = request_bytes("GET", task, token)
    routes["native task, gzip"] = request_bytes("GET", task, token, Accept_Encoding="gzip")
    routes["native task, without notes"] = request_bytes("GET", f"{task}?notes=false", token)
    measured: dict[str, list[float]] = {name: [] for name in routes}
    for _ in range(rounds):
        for name, request in routes.items():
            measured[name].append(asyncio.run(rate(port, request, connections=8, seconds=seconds)))
    least = statistics.median(measured["from memory, no key"])
    print("| route | answers per second, median | of the route from memory |\n|---|---|---|")
    for name, rates in measured.items():
        print(f"| {name} | {statistics.median(rates):.0f} | {statistics.median(rates) / least:.2f} |")


async def _once(port: int, request: bytes) -> tuple[int, bytes]:
    return await (await Connection.open(port)).ask(request)


def accepts(port: int, token: str, separation_id: str, per_second: int, seconds: int) -> None:
    body = msgspec.json.encode({"taskId": separation_id, "callBackUrl": CALLBACK})
    plain = [request_bytes("POST", "/api/v1/midi/generate", token, body)] * (per_second * seconds)
    keyed = [
        request_bytes("POST", "/api/v1/midi/generate", token, body, Idempotency_Key=f"key-{number}")
        for number in range(per_second * seconds)
    ]
    print(f"\n| midi/generate at {per_second} a second, {seconds} s | p50 | p99 | longest |\n|---|---|---|---|")
    asyncio.run(latencies(port, plain[:per_second], per_second / 2, connections=32))  # statements are compiled once
    for name, requests in (("without Idempotency-Key", plain), ("with", keyed)):
        taken = sorted(asyncio.run(latencies(port, requests, per_second, connections=32)))
        p50, p99 = statistics.median(taken), taken[int(len(taken) * 0.99)]
        print(f"| {name} | {p50 * 1e3:.1f} ms | {p99 * 1e3:.1f} ms | {taken[-1] * 1e3:.1f} ms |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3, help="of each round of polls")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    ours, theirs = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(port, Path(folder), theirs))
        server.start()
        try:
            token, separation_id, path, n_bytes = ours.recv()
            print(f"{N_NOTES} notes, {n_bytes} bytes of JSON\n")
            polls(port, token, path, options.seconds, options.rounds)
            accepts(port, token, separation_id, 100, 10)
        finally:
            server.terminate()
            server.join()


if __name__ == "__main__":
    main()
