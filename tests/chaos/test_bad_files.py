"""Files that crash the decoder, or lie: their own tasks fail, at once and for good, and nothing else does."""

import signal
from pathlib import Path

import psutil
import pytest

from quality.hostile_files import TAKEN
from support.embedded import check_callback, check_clean, check_success, rows, transcribe, until, wait_for_end
from support.fleet import Receiver
from support.process import running_service

pytestmark = [pytest.mark.chaos, pytest.mark.weights]

HOSTILE = {file.what: file for file in TAKEN}
HOURS_OF_SILENCE = HOSTILE["the same FLAC, its header says nothing"]  # is decoded for long enough to be met by a signal


def decoders(worker: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in worker.children():
        try:
            if any("decode_worker" in argument for argument in child.cmdline()):
                found.append(child)
        except psutil.Error:  # it has ended
            continue
    return found


def test_a_file_that_crashes_the_decoder(
    tmp_path: Path, whole_song: bytes, whole_song_files: dict[str, str], receiver: Receiver
) -> None:
    with running_service(tmp_path) as service:
        worker = service.worker()
        content = HOURS_OF_SILENCE.make()
        crashed = []
        for number in (signal.SIGSEGV, signal.SIGKILL):
            task_id = transcribe(service, content, receiver.url(number.name))
            until(lambda: decoders(worker), service, "nothing was decoded")
            decoders(worker)[0].send_signal(number)
            crashed.append((task_id, number.name))
            if number == signal.SIGSEGV:
                good = transcribe(service, whole_song, receiver.url("good"))
                assert wait_for_end(service, task_id)["status"] == "failed"
                check_success(service, good, whole_song_files, receiver, "good")
        for task_id, name in crashed:
            shown = wait_for_end(service, task_id)
            assert shown["status"] == "failed"
            assert shown["error"]["code"] == "corrupt_audio"
            assert f"The decoder crashed on this file ({name})" in shown["error"]["message"]
            assert rows(service, "SELECT attempt FROM tasks WHERE id = ?", task_id) == [(1,)], "it was tried again"
            check_callback(service, task_id, receiver, name)
            assert rows(service, "SELECT sum(amount) FROM credit_entries WHERE task_id = ?", task_id) == [(0,)]
        assert service.worker().pid == worker.pid
        check_clean(service)


def test_files_that_lie(tmp_path: Path, receiver: Receiver) -> None:
    """What their uploads do not show fails their tasks, with words for whoever sent them."""
    told = {
        "the same FLAC, its header says nothing": ("audio_limit_exceeded", "1800 s"),
        "half a FLAC": ("corrupt_audio", "damaged or incomplete"),
    }
    with running_service(tmp_path) as service:
        worker = service.worker()
        asked = {what: transcribe(service, HOSTILE[what].make(), receiver.url("lying")) for what in told}
        for what, (code, words) in told.items():
            shown = wait_for_end(service, asked[what])
            assert (shown["status"], shown["error"]["code"]) == ("failed", code), what
            assert words in shown["error"]["message"], what
        assert rows(service, "SELECT DISTINCT attempt FROM tasks WHERE kind = 'transcription'") == [(1,)]
        until(lambda: len(receiver.ids("lying")) == len(told), service, "a callback is missing")
        assert service.worker().pid == worker.pid
        check_clean(service)
