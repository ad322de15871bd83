"""Every kind of hostile input and what it gets: ``python tests/quality/hostile_inputs.py`` (Linux; some two minutes).

Starts the service as a user does, with the real weights, sends each input over HTTP, and prints a table, and how much
memory the service's processes took.  Servers that answer fetches stand on 127.0.0.2, which the service may reach;
127.0.0.1 is what it must not.  One name has answers that change; see tests/support/changing_names.
"""

import gzip
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from quality.hostile_files import REFUSED, TAKEN
from support.audio import wav_bytes
from support.memory import PeakMemory
from support.names import changing_names
from support.process import RunningService, running_service
from support.servers import Respond, answer, http_server

SERVERS, INSIDE, PUBLIC = "127.0.0.2", "127.0.0.1", "93.184.215.14"
CALLBACK = f"http://{SERVERS}:9/nobody-listens"
TIMEOUT_S = 120
Answer = tuple[str, str]
Row = tuple[str, Answer]

ADDRESSES = (
    "http://127.0.0.1/", "http://localhost/", "http://localhost./", "http://2130706433/", "http://0x7f000001/",
    "http://0177.0.0.1/", "http://127.1/", "http://0/", "http://[::1]/", "http://[::ffff:127.0.0.1]/",
    "http://127\u30020\u30020\u30021/", "http://example.com@127.0.0.1/", "http://10.0.0.1/",
    "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://168.63.129.16/",
    "http://100.100.100.200/", "http://[64:ff9b::a9fe:a9fe]/", "http://[2002:7f00:1::]/", "http://8.8.8.8:0/",
    "file:///etc/passwd", "ftp://example.com/song.mp3", "gopher://127.0.0.1:6379/_FLUSHALL",
)  # fmt: skip


def told(response: httpx.Response) -> Answer:
    body = response.json()
    return f"HTTP {response.status_code}, code {body.get('code', body.get('status'))}", body.get(
        "msg", body.get("detail")
    )


def upload(service: RunningService, content: bytes | None, name: str = "song.mp3", **headers: str) -> Answer:
    files = {"other": b""} if content is None else {"file": (name, content)}
    url = f"{service.base_url}/api/file-stream-upload"
    return told(httpx.post(url, files=files, headers={**service.headers, **headers}, timeout=TIMEOUT_S))


def fetched(service: RunningService, url: str) -> Answer:
    url_upload = f"{service.base_url}/api/file-url-upload"
    body = {"fileUrl": url, "uploadPath": "songs"}
    return told(httpx.post(url_upload, json=body, headers=service.headers, timeout=TIMEOUT_S))


def generate(service: RunningService, what: str, body: dict[str, Any] | bytes, **headers: str) -> Answer:
    url, headers = f"{service.base_url}/api/v1/{what}/generate", {**service.headers, **headers}
    if isinstance(body, bytes):
        return told(httpx.post(url, content=body, headers=headers, timeout=TIMEOUT_S))
    return told(httpx.post(url, json=body, headers=headers, timeout=TIMEOUT_S))


def ended(service: RunningService, task_id: str) -> tuple[Answer, dict[str, Any]]:
    """How a separation ended."""
    record = service.wait("vocal-removal", task_id)
    code = "" if record["errorCode"] is None else f", errorCode {record['errorCode']}"
    done = "" if record["response"] is None else f"stems of {record['response']['originData'][0]['duration']:.2f} s"
    return (f"task {record['successFlag']}{code}", record["errorMessage"] or done), record


def separated(service: RunningService, content: bytes, name: str) -> tuple[Answer, dict[str, Any]]:
    uploaded = service.upload(content, name)
    source = {"taskId": uploaded["taskId"], "audioId": uploaded["audioId"]}
    return ended(service, service.generate("vocal-removal", **source, type="split_stem", callBackUrl=CALLBACK))


def separated_by_url(service: RunningService, url: str) -> Answer:
    return ended(service, service.generate("vocal-removal", audioUrl=url, callBackUrl=CALLBACK))[0]


def files(service: RunningService) -> Iterator[Row]:
    yield "no file in the form", upload(service, None)
    for file in REFUSED:
        yield file.what, upload(service, file.make(), file.name)
    for file in TAKEN:
        yield file.what, separated(service, file.make(), file.name)[0]
    song = wav_bytes(1.0)
    with killing_decoder_of(service.process.pid):
        yield "decoder killed while the API looks at an upload", upload(service, song, "song.wav")
    with killing_decoder_of(service.worker().pid):
        yield "decoder killed while the worker decodes", separated(service, song, "song.wav")[0]


@contextmanager
def killing_decoder_of(pid: int) -> Iterator[None]:
    """Kill the first decoder that a process starts; fails when there is none."""
    parent, killed, over = psutil.Process(pid), threading.Event(), threading.Event()

    def hunt() -> None:
        while not killed.is_set() and not over.is_set():
            for child in parent.children():
                with suppress(psutil.Error):
                    if any(part.endswith("decode_worker.py") for part in child.cmdline()):
                        child.kill()
                        killed.set()
            time.sleep(0.002)

    thread = threading.Thread(target=hunt, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert killed.is_set()


def requests(service: RunningService) -> Iterator[Row]:
    (_, one), (_, other) = (separated(service, wav_bytes(1.0), "song.wav") for _ in range(2))
    body = {"taskId": one["taskId"], "callBackUrl": CALLBACK}
    foreign = other["response"]["originData"][0]["id"]
    json_type = {"Content-Type": "application/json"}
    bomb = gzip.compress(bytes(200_000_000), 1)
    yield "unknown taskId", generate(service, "midi", {**body, "taskId": "f" * 32})
    yield "audioId of another task", generate(service, "midi", {**body, "audioId": foreign})
    yield "missing callBackUrl", generate(service, "midi", {"taskId": one["taskId"]})
    yield "callBackUrl not a URL", generate(service, "midi", {**body, "callBackUrl": "call me"})
    yield "wrong key", generate(service, "midi", body, Authorization="Bearer wrong")
    yield "a body of 2 MB", generate(service, "midi", b" " * 2_000_000, **json_type)
    yield "JSON 100 000 levels deep", generate(service, "midi", b"[" * 100_000, **json_type)
    yield (
        "a JSON body that is a gzip bomb (Content-Encoding: gzip)",
        generate(service, "midi", bomb, **json_type, **{"Content-Encoding": "gzip"}),
    )
    yield (
        "a form with Content-Encoding: gzip, in it a gzip bomb",
        upload(service, bomb, "song.wav", **{"Content-Encoding": "gzip"}),
    )


def addresses(service: RunningService) -> Iterator[Row]:
    """Each as callBackUrl, audioUrl and fileUrl; the message is that for callBackUrl."""
    for url in ADDRESSES:
        verdict, message = generate(service, "vocal-removal", {"audioUrl": f"http://{PUBLIC}/", "callBackUrl": url})
        audio, _ = generate(service, "vocal-removal", {"audioUrl": url, "callBackUrl": CALLBACK})
        file, _ = fetched(service, url)
        codes = ", ".join(one.rpartition(" ")[2] for one in (verdict, audio, file))
        yield url, (f"codes {codes}", message)


def servers() -> dict[str, Respond]:
    """Servers that fetches come to, by what they do."""

    def status(code: int, body: bytes = b"", **headers: str) -> Respond:
        return lambda handler, _: answer(handler, code, body, **headers)

    def raw(start: bytes, block: bytes, pause_s: float = 0.0, once: bool = False) -> Respond:
        """A start, and then the same block until the other side hangs up, or ``once``."""

        def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
            with suppress(OSError):
                handler.wfile.write(start)
                handler.wfile.write(block)
                while not once:
                    time.sleep(pause_s)
                    handler.wfile.write(block)
            handler.close_connection = True

        return respond

    ok, moved = b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Encoding: gzip\r\n\r\n"
    zeros = bytes(1_000_000)
    bomb = gzip.compress(bytes(300_000_000), 1)
    playlist = b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1/secret\n"
    return {
        "redirects to 169.254.169.254": status(302, Location="http://169.254.169.254/latest/meta-data/"),
        "redirects to 127.0.0.1": status(307, Location="http://127.0.0.1:1/"),
        "redirects to file:///etc/passwd": status(301, Location="file:///etc/passwd"),
        "redirects to itself": status(302, Location="/again"),
        "redirects to itself with an endless body": raw(moved, zeros),
        "an endless body": raw(ok + b"\r\n", zeros),
        "says its body has 10^15 bytes": raw(ok + b"Content-Length: 1000000000000000\r\n\r\n", zeros),
        "a body of a byte a second": raw(ok + b"\r\n", b"x", 1.0),
        "headers without end, slowly": raw(ok, b"a: b\r\n", 0.5),
        "headers without end": raw(ok, b"a: b\r\n" * 1000),
        "gzip bomb, Content-Encoding: gzip": status(200, bomb, Content_Encoding="gzip"),
        "an HLS playlist": status(200, playlist, Content_Type="audio/mpeg"),
        "hangs up in the middle": raw(ok + b"Content-Length: 1000\r\n\r\nRIFF", b"", once=True),
        "HTTP status 404": status(404),
        "no HTTP": raw(b"\0\xff" * 100, b"\n"),
    }  # fmt: skip


def fetches(service: RunningService) -> Iterator[Row]:
    """Side by side: some take all the 30 s that a fetch has."""
    with ExitStack() as stack:
        urls = {what: stack.enter_context(http_server(one, SERVERS)) for what, one in servers().items()}
        rebinding = stack.enter_context(http_server(lambda handler, _: answer(handler, 200, wav_bytes()), INSIDE))
        by_name = rebinding.replace(INSIDE, "rebinding.example")
        jobs: dict[str, Callable[[], Answer]] = {
            f"fileUrl: {what}": (lambda url=url: fetched(service, f"{url}/song.mp3")) for what, url in urls.items()
        }
        jobs["fileUrl: a name with a public address first, 127.0.0.1 then"] = lambda: fetched(service, by_name)
        for what in ("redirects to 169.254.169.254", "redirects to itself with an endless body", "an endless body"):
            jobs[f"audioUrl, in the worker: {what}"] = lambda url=urls[what]: separated_by_url(service, f"{url}/a.mp3")
        pool = stack.enter_context(ThreadPoolExecutor(len(jobs)))
        results = {what: pool.submit(job) for what, job in jobs.items()}
        for what, result in results.items():
            yield what, result.result()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        names, data = Path(folder) / "names", Path(folder) / "data"
        names.mkdir()
        data.mkdir()
        os.environ |= changing_names(names, {"rebinding.example": [PUBLIC, INSIDE]})
        settings = {"allow_addresses": f"{SERVERS}/32", "rate_limit_tasks": "0"}
        with running_service(data, **settings) as service:
            good = separated(service, wav_bytes(60.0), "song.wav")[0]  # loads the models, and shows what work takes
            with PeakMemory(service.process.pid) as api, PeakMemory(service.worker().pid) as worker:
                print("| input | answer | message |\n|---|---|---|")
                for part in (requests, addresses, fetches, files):
                    for what, (verdict, message) in part(service):
                        print(f"| {what} | {verdict} | {message} |", flush=True)
                verdict, message = separated(service, wav_bytes(60.0), "song.wav")[0]
                print(f"| a good song, after all of these | {verdict} | {message} |")
    assert good[0] == "task SUCCESS"
    print("\n| process | memory before, MB | at most, MB |\n|---|---|---|")
    for what, memory in (("API", api), ("worker", worker)):
        print(f"| {what} | {memory.start_mb:.0f} | {memory.peak_mb:.0f} |")


if __name__ == "__main__":
    main()
