"""The application under test: the real routes over a real database, with a worker that tests step by hand."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from service.callbacks import callback_body, shows_notes
from service.context import Context
from service.worker.deliveries import RETRY_DELAYS_S, Deliverer
from service.worker.worker import Worker
from support.audio import wav_bytes
from support.clock import ManualClock
from support.pipeline import FakePipeline

CALLBACK = "http://93.184.215.14/callback"


@dataclass
class Api:
    """A client with a key, and the service's other side."""

    http: httpx.AsyncClient
    token: str
    context: Context
    clock: ManualClock
    pipeline: FakePipeline

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return (await self.http.post(path, json=body, headers=self.headers)).json()

    async def get(self, path: str, **params: str) -> dict[str, Any]:
        return (await self.http.get(path, params=params, headers=self.headers)).json()

    async def upload(self, content: bytes | None = None, name: str = "song.wav") -> dict[str, Any]:
        files = {"file": (name, wav_bytes() if content is None else content)}
        response = await self.http.post(
            "/api/file-stream-upload", files=files, data={"uploadPath": "songs"}, headers=self.headers
        )
        assert response.status_code == 200, response.text
        return response.json()["data"]

    def source(self, uploaded: dict[str, Any]) -> dict[str, str]:
        return {"taskId": uploaded["taskId"], "audioId": uploaded["audioId"]}

    async def work(self) -> None:
        """Do everything that is due."""
        worker = Worker(self.context, self.pipeline, "tester")  # type: ignore[arg-type]
        while await worker.run_once():
            pass

    async def record(self, what: str, task_id: str) -> dict[str, Any]:
        answer = await self.get(f"/api/v1/{what}/record-info", taskId=task_id)
        assert (answer["code"], answer["msg"]) == (200, "success")
        return answer["data"]

    async def separated(
        self,
        *,
        source: dict[str, str] | None = None,
        type: str | None = "split_stem",
        callback_url: str = CALLBACK,
    ) -> dict[str, Any]:
        source = source or self.source(await self.upload())
        body = {**source, "type": type, "callBackUrl": callback_url}
        task_id = (await self.post("/api/v1/vocal-removal/generate", body))["data"]["taskId"]
        await self.work()
        return await self.record("vocal-removal", task_id)

    async def transcribed(self, task_id: str, **body: str) -> dict[str, Any]:
        answer = await self.post("/api/v1/midi/generate", {"taskId": task_id, "callBackUrl": CALLBACK, **body})
        await self.work()
        return await self.record("midi", answer["data"]["taskId"])

    async def callback_body(self, task_id: str) -> dict[str, Any]:
        """What the task's callback sends; that it is sent is tested with real receivers elsewhere."""
        assert task_id in {item.task_id for item in await self.context.store.outbox.claim(100, 0)}
        record = await self.context.store.tasks.record(task_id, with_notes=shows_notes)
        assert record is not None
        return json.loads(callback_body(record, self.context.links))

    async def exhaust_callback(self) -> None:
        """Deliver what is due until nothing is: to receivers that fail, every attempt there is."""
        deliverer = Deliverer(self.context)
        for delay_s in (*RETRY_DELAYS_S, 0):
            assert await deliverer.deliver_due() == 1
            self.clock.advance(delay_s * 1.2)
        assert await deliverer.deliver_due() == 0

    def path_of(self, url: str) -> str:
        parts = urlsplit(url)
        return f"{parts.path}?{parts.query}"

    async def get_bytes(self, url: str) -> bytes:
        response = await self.http.get(self.path_of(url))
        assert response.status_code == 200, response.text
        return response.content


async def started(api: Api, **fields: str) -> str:
    """The id of a transcription that was asked for by the native form."""
    response = await api.http.post(
        "/v1/transcriptions", files={"file": ("song.wav", wav_bytes())}, data=fields, headers=api.headers
    )
    assert response.status_code == 202, response.text
    task_id: str = response.json()["id"]
    return task_id


async def call(api: Api, method: str, path: str, **headers: str) -> httpx.Response:
    """The answer to a request with the key, and with further headers."""
    return await api.http.request(method, path, headers={**api.headers, **headers})


def without_reuse(api: Api) -> None:
    """Let the same work be done again, where a test counts it."""
    api.context.settings = dataclasses.replace(api.context.settings, reuse_results=False)
