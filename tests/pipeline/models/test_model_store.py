"""Pulling weights from a hub that works, breaks off, lies, or is not there."""

import hashlib
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import Cancelled, ChecksumMismatch, ModelError, ModelMissing, ModelUnavailable, UnknownModel
from pipeline.models.catalogue import ModelEntry, WeightFile
from pipeline.models.download import Patience
from pipeline.models.sources import PullProgress
from pipeline.models.store import ModelStore, default_root
from pipeline.models.tensors import tensor_digest, write_safetensors
from support.servers import http_server

HALF = 1_500_000

PULL = """
import sys
from pathlib import Path
from pipeline.models.catalogue import HubSource, ModelEntry, WeightFile
from pipeline.models.store import ModelStore
root, size, digest, repo, revision = sys.argv[1:]
entry = ModelEntry(name="small", purpose="separation", description="", licence="",
                   files=(WeightFile("small.bin", int(size), digest),), sources=(HubSource(repo, revision),))
print("ready", flush=True)
print(*ModelStore(Path(root), {"small": entry}).pull("small"), flush=True)
"""


def start_pull(store: ModelStore, model: ModelEntry) -> subprocess.Popen[str]:
    """A pull in a process of its own, which has its imports behind it when this returns."""
    file, source = model.files[0], model.sources[0]
    arguments = [str(store.root), str(file.size_bytes), file.sha256, source.repo, source.revision]
    process = subprocess.Popen([sys.executable, "-c", PULL, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def wait_until(condition, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_pulls_once_and_then_needs_no_network(hub, small_model, contents, make_store):
    hub.serve(small_model, contents)
    store = make_store(small_model)
    seen: list[PullProgress] = []

    (path,) = store.pull("small", seen.append)

    assert path == store.root / "small" / "small.bin"
    assert path.read_bytes() == contents
    assert seen[-1] == PullProgress("small.bin", "Hugging Face hub", len(contents), len(contents))
    assert [at.done_bytes for at in seen] == sorted(at.done_bytes for at in seen)
    assert {left.name for left in path.parent.iterdir()} == {"small.bin", "pull.lock"}
    assert store.pull("small") == store.require("small") == (path,)
    assert len(hub.requests) == 1


def test_a_bag_pulls_every_file_in_order(hub, contents, small_model, make_store):
    names = ("b.bin", "a.bin")
    bag = replace(small_model, files=tuple(replace(small_model.files[0], name=name) for name in names))
    hub.serve(bag, contents)
    assert [path.name for path in make_store(bag).pull("small")] == ["b.bin", "a.bin"]


def test_a_transfer_that_breaks_off_goes_on_where_it_was(hub, small_model, contents, make_store):
    hub.serve(small_model, contents)
    hub.cuts = [HALF, 1000]
    (path,) = make_store(small_model).pull("small")
    assert path.read_bytes() == contents
    assert [request.get("range") for request in hub.requests] == [None, f"bytes={HALF}-", f"bytes={HALF + 1000}-"]
    assert [request.get("if-range") for request in hub.requests] == [None, '"first"', '"first"']


def test_silence_counts_as_broken_off(hub, small_model, contents, make_store):
    hub.serve(small_model, contents)
    hub.stalls = [HALF]
    (path,) = make_store(small_model, patience=Patience(stall_s=0.3, retry_wait_s=0.0)).pull("small")
    assert path.read_bytes() == contents
    assert hub.requests[1]["range"] == f"bytes={HALF}-"


def test_a_cancelled_pull_is_continued_by_the_next(hub, small_model, contents, make_store):
    hub.serve(small_model, contents)
    store = make_store(small_model)

    def cancel(at: PullProgress) -> None:
        if at.done_bytes > HALF:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        store.pull("small", cancel)
    with pytest.raises(ModelMissing):
        store.require("small")
    (path,) = store.pull("small")
    assert path.read_bytes() == contents
    assert hub.requests[1]["range"].startswith("bytes=")
    assert int(hub.requests[1]["range"][6:-1]) > HALF


@pytest.mark.parametrize("ranges", ["ignored", "refused"])
def test_a_server_without_ranges_starts_over(ranges, hub, small_model, contents, make_store):
    hub.serve(small_model, contents)
    hub.ranges = ranges
    hub.cuts = [HALF]
    seen: list[PullProgress] = []
    (path,) = make_store(small_model).pull("small", seen.append)
    assert path.read_bytes() == contents
    assert max(at.done_bytes for at in seen) == len(contents)


def test_a_server_without_ranges_that_always_breaks_off_is_given_up(hub, small_model, contents, make_store):
    hub.serve(small_model, contents)
    hub.ranges = "ignored"
    hub.cuts = [HALF] * 100
    with pytest.raises(ModelUnavailable, match="is kept"):
        make_store(small_model).pull("small")
    assert len(hub.requests) == 1 + Patience().retries


def test_what_came_before_the_file_changed_is_not_mixed_in(hub, small_model, contents, make_store):
    hub.serve(small_model, contents[::-1])
    hub.cuts = [HALF] * 100
    hub.ranges = "ignored"
    store = make_store(small_model)
    with pytest.raises(ModelUnavailable):
        store.pull("small")
    hub.serve(small_model, contents)
    hub.etag = '"second"'
    hub.cuts = []
    hub.ranges = "honoured"
    (path,) = store.pull("small")
    assert path.read_bytes() == contents
    assert hub.requests[-1]["if-range"] == '"first"'


def test_without_a_strong_etag_nothing_is_resumed(hub, small_model, contents, make_store):
    hub.serve(small_model, contents)
    hub.etag = 'W/"weak"'
    hub.cuts = [HALF]
    (path,) = make_store(small_model).pull("small")
    assert path.read_bytes() == contents
    assert [request.get("range") for request in hub.requests] == [None, None]


def test_a_rotten_part_is_fetched_anew(hub, small_model, contents, make_store):
    hub.serve(small_model, contents)
    store = make_store(small_model)
    folder = store.root / "small"
    folder.mkdir(parents=True)
    (folder / "small.bin.part").write_bytes(bytes(HALF))
    (folder / "small.bin.part.etag").write_text('"first"')
    (path,) = store.pull("small")
    assert path.read_bytes() == contents
    assert [request.get("range") for request in hub.requests] == [f"bytes={HALF}-", None]


def test_a_wrong_checksum_is_refused(hub, small_model, contents, make_store):
    wrong = contents[:-1] + bytes([contents[-1] ^ 1])
    hub.serve(small_model, wrong)
    store = make_store(small_model)
    with pytest.raises(ChecksumMismatch) as refused:
        store.pull("small")
    for words in ("small.bin", hashlib.sha256(wrong).hexdigest(), small_model.files[0].sha256, "Try again"):
        assert words in refused.value.message
    assert {left.name for left in (store.root / "small").iterdir()} <= {"pull.lock", "small.bin.part.etag"}
    hub.serve(small_model, contents)
    assert store.pull("small")[0].read_bytes() == contents


def test_a_length_that_is_no_number_is_no_answer(small_model, make_store, monkeypatch):
    def respond(handler, _body):
        handler.send_response(200)
        handler.send_header("Content-Length", "many")
        handler.end_headers()

    with http_server(respond) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        with pytest.raises(ModelUnavailable, match="Content-Length"):
            make_store(small_model).pull("small")


@pytest.mark.parametrize("pinned_right", [True, False])
def test_verifying_compares_the_tensors_too(pinned_right, hub, small_model, make_store, tmp_path):
    tensors = {"a": np.arange(6, dtype=np.float16).reshape(2, 3)}
    write_safetensors(tmp_path / "made", tensors, {})
    contents = (tmp_path / "made").read_bytes()
    model = replace(
        small_model,
        files=(WeightFile("small.safetensors", len(contents), hashlib.sha256(contents).hexdigest()),),
        tensor_sha256=tensor_digest(tensors if pinned_right else {"a": tensors["a"].T}),
    )
    hub.serve(model, contents)
    store = make_store(model)
    store.pull("small")
    if pinned_right:
        store.verify("small")
    else:
        with pytest.raises(ChecksumMismatch, match=f"tensors of small .* {tensor_digest(tensors)}"):
            store.verify("small")


def test_a_server_that_tells_no_length_will_do(hub, small_model, contents, make_store):
    hub.serve(small_model, contents)
    hub.tells_length = False
    hub.cuts = [HALF]
    (path,) = make_store(small_model).pull("small")
    assert path.read_bytes() == contents
    assert hub.requests[1]["range"] == f"bytes={HALF}-"


@pytest.mark.parametrize("tells_length", [True, False])
@pytest.mark.parametrize("page", [b"<html>Please log in</html>" * 200_000, bytes(3_000_001)], ids=["page", "zeros"])
def test_something_longer_in_its_place_is_no_answer(page, tells_length, hub, small_model, make_store):
    hub.serve(small_model, page)
    hub.tells_length = tells_length
    store = make_store(small_model)
    with pytest.raises(ModelUnavailable, match="perhaps a proxy"):
        store.pull("small")
    assert not (store.root / "small" / "small.bin").exists()


def test_a_page_in_its_place_is_no_answer(hub, small_model, make_store):
    hub.serve(small_model, b"<html>Please log in</html>")
    store = make_store(small_model)
    with pytest.raises(ModelUnavailable, match="perhaps a proxy"):
        store.pull("small")
    assert not (store.root / "small" / "small.bin").exists()


def test_a_page_in_its_place_costs_nothing_that_had_come(hub, small_model, contents, make_store):
    hub.serve(small_model, contents)
    hub.cuts = [HALF, 0, 0, 0, 0]
    store = make_store(small_model)
    with pytest.raises(ModelUnavailable, match=f"{HALF} of 3000000 bytes, is kept"):
        store.pull("small")
    hub.serve(small_model, b"<html>Please log in</html>")
    hub.ranges = "ignored"
    with pytest.raises(ModelUnavailable, match="perhaps a proxy"):
        store.pull("small")
    hub.serve(small_model, contents)
    hub.ranges = "honoured"
    assert store.pull("small")[0].read_bytes() == contents
    assert hub.requests[-1]["range"] == f"bytes={HALF}-"


def test_a_refusal_says_what_may_help(hub, small_model, make_store):
    hub.status = 401
    with pytest.raises(ModelUnavailable, match=r"Hugging Face hub: it answered 401 Unauthorized.*HF_TOKEN"):
        make_store(small_model).pull("small")
    assert len(hub.requests) == 1


def test_the_token_goes_to_the_hub_and_no_further(start_hub, small_model, contents, make_store, monkeypatch):
    network, hub = start_hub(), start_hub()
    network.serve(small_model, contents)
    network.url = network.url.replace("127.0.0.1", "localhost")
    hub.redirect_to = network.url
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    network.cuts = [HALF]
    assert make_store(small_model).pull("small")[0].read_bytes() == contents
    assert {request["authorization"] for request in hub.requests} == {"Bearer hf_secret"}
    assert all("authorization" not in request for request in network.requests)
    assert network.requests[1]["range"] == f"bytes={HALF}-"


def test_offline_asks_nobody(hub, small_model, contents, make_store, monkeypatch):
    hub.serve(small_model, contents)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelUnavailable, match="HF_HUB_OFFLINE is set"):
        make_store(small_model).pull("small")
    assert hub.requests == []


def test_two_processes_that_pull_at_once_fetch_once(hub, small_model, contents, make_store):
    hub.serve(small_model, contents)
    hub.pauses = [HALF]
    store = make_store(small_model)
    part = store.root / "small" / "small.bin.part"
    first = start_pull(store, small_model)
    wait_until(lambda: part.exists() and part.stat().st_size == HALF)
    second = start_pull(store, small_model)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(0.5)
    hub.resume.set()
    for process in (first, second):
        assert process.communicate(timeout=60)[0] == f"{store.root / 'small' / 'small.bin'}\n"
    assert store.require("small")[0].read_bytes() == contents
    assert len(hub.requests) == 1


def test_a_killed_pull_leaves_no_half_file_and_is_continued(hub, small_model, contents, make_store):
    hub.serve(small_model, contents)
    hub.stalls = [HALF]
    store = make_store(small_model)
    part = store.root / "small" / "small.bin.part"
    process = start_pull(store, small_model)
    wait_until(lambda: part.exists() and part.stat().st_size == HALF)
    assert not part.with_suffix("").exists()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    with pytest.raises(ModelMissing):
        store.require("small")
    assert store.pull("small")[0].read_bytes() == contents
    assert hub.requests[-1]["range"] == f"bytes={HALF}-"


def test_what_is_missing_names_the_command(small_model, make_store):
    store = make_store(small_model)
    with pytest.raises(ModelMissing, match="stemscribe models pull small"):
        store.require("small")
    with pytest.raises(ModelMissing, match="stemscribe models pull small"):
        store.verify("small")
    assert not store.status("small").present
    for ask in (store.require, store.pull, store.verify, store.status):
        with pytest.raises(UnknownModel, match="no model 'other'; known are small"):
            ask("other")


def test_verify_finds_one_wrong_bit(hub, small_model, contents, make_store):
    hub.serve(small_model, contents)
    store = make_store(small_model)
    (path,) = store.pull("small")
    store.verify("small")
    rotten = bytearray(contents)
    rotten[HALF] ^= 1
    path.write_bytes(rotten)
    assert store.status("small").present
    with pytest.raises(ChecksumMismatch) as damaged:
        store.verify("small")
    for words in (str(path), hashlib.sha256(rotten).hexdigest(), small_model.files[0].sha256, "models pull small"):
        assert words in damaged.value.message


def test_a_folder_that_cannot_be_written_is_named(hub, small_model, make_store, tmp_path):
    (tmp_path / "models").write_text("a file in the folder's place")
    with pytest.raises(ModelError, match=r"models.small cannot be written"):
        make_store(small_model).pull("small")


def test_asking_the_store_does_not_load_torch():
    ask = "import sys, pipeline.models.store; print('torch' in sys.modules, 'onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True).stdout == "False False\n"


def test_the_default_folder_follows_xdg(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_root() == Path("/somewhere/stemscribe/models")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_root() == Path.home() / ".cache/stemscribe/models"
