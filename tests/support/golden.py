"""One exchange for every documented request and callback of the Kie dialect, with what varies replaced by its name."""

import dataclasses
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from pipeline.errors import CorruptAudio
from pipeline.song import Report
from service.db.models import OutboxState
from support.api import CALLBACK, Api
from support.audio import wav_bytes
from support.servers import answer, http_server

FOLDER = Path(__file__).parents[1] / "wire" / "golden"
_SERVER = re.compile(r"http://127\.0\.0\.1:\d+")
_ID = re.compile(
    r"http://stemscribe\.test/files/(?P<file>[0-9a-f]{32})/(?P<name>[^?\"]+)\?exp=(?P<expires>\d+)&sig=[\w-]+"
    r"|\b(?P<task>[0-9a-f]{32})\b"
    r"|\b(?P<audio>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})\b"
)

Exchange = dict[str, Any]
Exchanges = AsyncIterator[tuple[str, Exchange]]


class Names:
    """Names for the ids of a group of exchanges: what each is, and which one, counted as they appear."""

    def __init__(self) -> None:
        self._known: dict[str, list[str]] = {"task": [], "audio": [], "file": []}

    def normalised(self, exchange: Exchange) -> Exchange:
        """An exchange with its ids by their names, and no signatures; the time is the tests' own and stays."""
        text = _SERVER.sub("http://server.example", json.dumps(exchange, ensure_ascii=False))
        return json.loads(_ID.sub(self._name, text))

    def _name(self, match: re.Match[str]) -> str:
        [(kind, found)] = [(kind, match[kind]) for kind in self._known if match[kind]]
        known = self._known[kind]
        if found not in known:
            known.append(found)
        number = known.index(found) + 1
        if kind == "file":
            return f"<link to file {number}, {match['name']}, until {match['expires']}>"
        return f"<{kind} {number}>"


def golden(name: str) -> Exchange:
    """The committed exchange of that name."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def write_golden(name: str, exchange: Exchange) -> None:
    """Commit an exchange: read it against the contract before."""
    FOLDER.mkdir(exist_ok=True)
    text = json.dumps(exchange, indent=2, ensure_ascii=False)
    (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


class _Recorder:
    """Asks, and keeps what was asked and answered."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.last: dict[str, Any] = {}

    async def ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        key: bool = True,
        shown_headers: Sequence[str] = (),
    ) -> Exchange:
        headers = self.api.headers if key else {}
        response = await self.api.http.request(method, path, json=body, headers=headers)
        self.last = response.json()
        request = {"method": method, "path": path, **({} if body is None else {"body": body})}
        shown = {name: response.headers[name] for name in shown_headers if name in response.headers}
        return {
            "request": request,
            "status": response.status_code,
            **({"headers": shown} if shown else {}),
            "answer": self.last,
        }

    @property
    def data(self) -> dict[str, Any]:
        """What the last answer held."""
        return self.last["data"]

    async def failure(self, route: str, body: dict[str, Any]) -> Exchanges:
        """A task that cannot be done: its record and its callback."""
        await self.ask("POST", f"/api/v1/{route}/generate", body)
        task_id = self.data["taskId"]
        await self.work_in_vain()
        yield f"{route}-record-info.failed", await self.ask("GET", f"/api/v1/{route}/record-info?taskId={task_id}")
        yield f"{route}-callback.failed", await self.callback(task_id)

    async def work_in_vain(self) -> None:
        """Do what is due, none of which can be done."""

        def break_off(_: Report) -> None:
            raise CorruptAudio("The file breaks off at 0.0 s.")

        before, self.api.pipeline.during = self.api.pipeline.during, break_off
        await self.api.work()
        self.api.pipeline.during = before

    async def callback(self, task_id: str) -> Exchange:
        return {"callback": await self.api.callback_body(task_id)}

    async def spend_attempts(self, task_id: str) -> None:
        """Give a task's callback up, as after its last attempt."""
        outbox = self.api.context.store.outbox
        [owed] = [item for item in await outbox.claim(100, 0) if item.task_id == task_id]
        gone = {"due_ms": owed.due_ms, "status_code": None, "error": "no answer within 15 s"}
        assert await outbox.settle(owed, state=OutboxState.DEAD, **gone)

    async def limited(self, path: str, body: dict[str, Any], *, n_before: int, **limits: int) -> Exchange:
        """Ask, after so many times before, with a key that has such limits; the header that tells of them is kept."""
        keys = self.api.context.store.keys
        assert await keys.set_limits("tests", limits) == 1
        for _ in range(n_before):
            assert (await self.ask("POST", path, body))["answer"]["code"] == 200
        exchange = await self.ask("POST", path, body, shown_headers=("Retry-After",))
        assert await keys.set_limits("tests", dict.fromkeys(limits)) == 1
        return exchange


async def exchanges(api: Api) -> Exchanges:
    """Every exchange with its name, in the order of a client that uses all there is."""
    record = _Recorder(api)
    for group in (_uploads, _separations, _midi, _wav, _jobs, _account, _errors, _limits):
        names = Names()
        async for name, exchange in group(record):
            yield name, names.normalised(exchange)


async def _uploads(record: _Recorder) -> Exchanges:
    api = record.api
    form = {"uploadPath": "songs", "fileName": "My Song.wav"}
    response = await api.http.post(
        "/api/file-stream-upload", files={"file": ("song.wav", wav_bytes())}, data=form, headers=api.headers
    )
    request = {"method": "POST", "path": "/api/file-stream-upload", "form": {"file": "(song.wav)", **form}}
    yield "file-stream-upload", {"request": request, "status": response.status_code, "answer": response.json()}
    api.context.settings = dataclasses.replace(api.context.settings, allow_addresses=(ip_network("127.0.0.0/8"),))
    with http_server(lambda handler, _: answer(handler, 200, wav_bytes())) as address:
        body = {"fileUrl": f"{address}/song.wav", "uploadPath": "songs"}
        yield "file-url-upload", await record.ask("POST", "/api/file-url-upload", body)
    body = {"base64Data": "data:audio/wav;base64,(song.wav)", "uploadPath": "songs", "fileName": "song.wav"}
    sent = {**body, "base64Data": f"data:audio/wav;base64,{b64encode(wav_bytes()).decode()}"}
    exchange = await record.ask("POST", "/api/file-base64-upload", sent)
    exchange["request"]["body"] = body
    yield "file-base64-upload", exchange


async def _separations(record: _Recorder) -> Exchanges:
    generate, info = "/api/v1/vocal-removal/generate", "/api/v1/vocal-removal/record-info?taskId="
    uploaded = await record.api.upload()
    by_id = {**record.api.source(uploaded), "callBackUrl": CALLBACK}
    kinds = {
        "separate_vocal": by_id,
        "split_stem": {"audioUrl": uploaded["downloadUrl"], "type": "split_stem", "callBackUrl": CALLBACK},
        "split_stem_advanced": {**by_id, "type": "split_stem_advanced", "stemName": "Kick"},
    }
    for kind, body in kinds.items():
        yield f"vocal-removal-generate.{kind}", await record.ask("POST", generate, body)
        task_id = record.data["taskId"]
        if kind == "separate_vocal":
            yield "vocal-removal-record-info.pending", await record.ask("GET", info + task_id)
        await record.api.work()
        yield f"vocal-removal-record-info.{kind}", await record.ask("GET", info + task_id)
        yield f"vocal-removal-callback.{kind}", await record.callback(task_id)
    async for exchange in record.failure("vocal-removal", by_id):
        yield exchange
    await record.ask("POST", generate, by_id)
    task_id = record.data["taskId"]
    await record.ask("DELETE", f"/v1/tasks/{task_id}")
    yield "vocal-removal-record-info.cancelled", await record.ask("GET", info + task_id)
    yield "vocal-removal-callback.cancelled", await record.callback(task_id)
    await record.ask("POST", generate, by_id)
    task_id = record.data["taskId"]
    await record.api.work()
    await record.spend_attempts(task_id)
    yield "vocal-removal-record-info.callback-exception", await record.ask("GET", info + task_id)


async def _midi(record: _Recorder) -> Exchanges:
    generate, info = "/api/v1/midi/generate", "/api/v1/midi/record-info?taskId="
    separation = await record.api.separated()
    body = {"taskId": separation["taskId"], "callBackUrl": CALLBACK}
    [bass] = [item for item in separation["response"]["originData"] if item["stem_type_group_name"] == "Bass"]
    for kind, asked in (("all", body), ("one-stem", {**body, "audioId": bass["id"]})):
        yield f"midi-generate.{kind}", await record.ask("POST", generate, asked)
        task_id = record.data["taskId"]
        if kind == "all":
            yield "midi-record-info.pending", await record.ask("GET", info + task_id)
        await record.api.work()
        yield f"midi-record-info.{kind}", await record.ask("GET", info + task_id)
        yield f"midi-callback.{kind}", await record.callback(task_id)
    async for exchange in record.failure("midi", body):
        yield exchange


async def _wav(record: _Recorder) -> Exchanges:
    generate, info = "/api/v1/wav/generate", "/api/v1/wav/record-info?taskId="
    body = {**record.api.source(await record.api.upload()), "callBackUrl": CALLBACK}
    yield "wav-generate", await record.ask("POST", generate, body)
    task_id = record.data["taskId"]
    yield "wav-record-info.pending", await record.ask("GET", info + task_id)
    await record.api.work()
    yield "wav-record-info.success", await record.ask("GET", info + task_id)
    yield "wav-callback", await record.callback(task_id)
    yield "wav-generate.exists", await record.ask("POST", generate, body)
    await record.spend_attempts(task_id)
    yield "wav-record-info.callback-exception", await record.ask("GET", info + task_id)
    other = {**record.api.source(await record.api.upload()), "callBackUrl": CALLBACK}
    await record.ask("POST", generate, other)
    task_id = record.data["taskId"]
    await record.work_in_vain()
    yield "wav-record-info.failed", await record.ask("GET", info + task_id)
    yield "wav-callback.failed", await record.callback(task_id)


async def _jobs(record: _Recorder) -> Exchanges:
    create, info = "/api/v1/jobs/createTask", "/api/v1/jobs/recordInfo?taskId="
    uploaded = await record.api.upload()
    source = {"task_id": uploaded["taskId"], "audio_id": uploaded["audioId"]}
    separate = {**source, "type": "split_stem"}
    models: dict[str, dict[str, str]] = {"separate-vocals": separate, "generate-midi-from-audio": {}}
    models["convert-to-wav-format"] = source
    for model, given in models.items():
        body = {"model": f"ai-music-api/{model}", "callBackUrl": CALLBACK, "input": given}
        yield f"jobs-createTask.{model}", await record.ask("POST", create, body)
        task_id = record.data["taskId"]
        if model == "separate-vocals":
            models["generate-midi-from-audio"]["task_id"] = task_id
            yield "jobs-recordInfo.waiting", await record.ask("GET", info + task_id)
        await record.api.work()
        yield f"jobs-recordInfo.{model}", await record.ask("GET", info + task_id)
        yield f"jobs-callback.{model}", await record.callback(task_id)
    body = {"model": "ai-music-api/separate-vocals", "callBackUrl": CALLBACK, "input": separate}
    await record.ask("POST", create, body)
    task_id = record.data["taskId"]
    await record.work_in_vain()
    yield "jobs-recordInfo.failed", await record.ask("GET", info + task_id)
    yield "jobs-callback.failed", await record.callback(task_id)


async def _account(record: _Recorder) -> Exchanges:
    for path in ("chat/credit", "generate/credit"):
        yield path.replace("/", "-"), await record.ask("GET", f"/api/v1/{path}")
    uploaded = await record.api.upload()
    yield "download-url", await record.ask("POST", "/api/v1/common/download-url", {"url": uploaded["downloadUrl"]})
    foreign = {"url": "https://example.com/song.mp3"}
    yield "download-url.foreign", await record.ask("POST", "/api/v1/common/download-url", foreign)


async def _errors(record: _Recorder) -> Exchanges:
    midi = "/api/v1/midi/generate"
    unknown = {"taskId": "0" * 32, "callBackUrl": CALLBACK}
    yield "error.no-key", await record.ask("POST", midi, unknown, key=False)
    yield "error.unknown-source", await record.ask("POST", midi, unknown)
    yield "error.no-callback", await record.ask("POST", midi, {"taskId": "0" * 32})
    yield "error.unknown-record", await record.ask("GET", f"/api/v1/midi/record-info?taskId={'0' * 32}")
    yield "error.upload", await record.ask("POST", "/api/file-url-upload", {"uploadPath": "songs"})
    stem = {"audioUrl": "http://93.184.215.14/a", "type": "split_stem_advanced", "callBackUrl": CALLBACK}
    generate = "/api/v1/vocal-removal/generate"
    yield "error.stem-name", await record.ask("POST", generate, {**stem, "stemName": "Accordion"})


async def _limits(record: _Recorder) -> Exchanges:
    generate = "/api/v1/vocal-removal/generate"
    body = {**record.api.source(await record.api.upload()), "callBackUrl": CALLBACK}
    yield "error.credits", await record.limited(generate, body, n_before=0, credit_limit=0)
    yield "error.rate", await record.limited(generate, body, n_before=1, rate_limit=1)
    yield "error.in-flight", await record.limited(generate, body, n_before=0, in_flight_limit=1)
