"""The process that decodes: what it may not do, and what is said when it tries."""

import os
import sys
import time
from pathlib import Path

import pytest

from pipeline.audio import ffmpeg
from pipeline.audio.child import Child
from pipeline.audio.ffmpeg import ffmpeg_path
from pipeline.audio.limits import DecodeLimits
from pipeline.errors import AudioLimitExceeded, CorruptAudio, UnsupportedAudio


def python(program: str, limits: DecodeLimits | None = None) -> Child:
    return Child(["exec", sys.executable, "-S", "-c", program], limits or DecodeLimits())


def run_to_its_end(child: Child) -> int:
    while child.read(1000):
        pass
    return child.finish()


def test_output_is_handed_over_in_pieces() -> None:
    with python("print('header'); print('x' * 199_999)") as child:
        assert child.read_line() == b"header"
        assert [len(child.read(90_000)) for _ in range(4)] == [90_000, 90_000, 20_000, 0]
        assert child.finish() == 0


def test_an_endless_loop_runs_out_of_processor_time() -> None:
    with (
        python("while True: pass", DecodeLimits(cpu_s=1)) as child,
        pytest.raises(AudioLimitExceeded, match="all the processor time it may have, which is 1 s"),
    ):
        run_to_its_end(child)


def test_the_signal_that_some_systems_send_first_means_the_same() -> None:
    with (
        python("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)") as child,
        pytest.raises(AudioLimitExceeded, match="all the processor time it may have"),
    ):
        run_to_its_end(child)


@pytest.mark.parametrize("program", ["import time; time.sleep(60)", "import os, time; os.close(1); time.sleep(60)"])
def test_a_hanging_process_is_given_up_and_killed(program: str) -> None:
    started = time.monotonic()
    with (
        python(program, DecodeLimits(timeout_s=0.3)) as child,
        pytest.raises(AudioLimitExceeded, match=r"longer than it may, which is 0\.3 s"),
    ):
        run_to_its_end(child)
    assert time.monotonic() - started < 10


def test_a_shorter_time_is_kept_and_a_longer_one_is_not_given() -> None:
    with python("import time; time.sleep(60)", DecodeLimits(timeout_s=0.6)) as child:
        for allowed_s, kept_s in ((0.3, "0.3"), (30, "0.6")):
            child.allow(allowed_s)
            with pytest.raises(AudioLimitExceeded, match=rf"longer than it may, which is {kept_s} s"):
                child.read_line()


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL", "SIGBUS"])
def test_a_crash_is_the_files_fault(name: str) -> None:
    with (
        python(f"import os, signal; os.kill(os.getpid(), signal.{name})") as child,
        pytest.raises(CorruptAudio, match=rf"The decoder crashed on this file \({name}\)"),
    ):
        run_to_its_end(child)


def test_memory_files_and_descriptors_are_bounded(tmp_path: Path) -> None:
    program = f"""
import os, resource
try: bytearray(600_000_000)
except MemoryError: print("memory")
try: open({str(tmp_path / "large")!r}, "wb").write(bytes(2_000_000))
except OSError: print("file")
try: kept = [os.dup(0) for _ in range(100)]
except OSError: print("descriptors")
print(resource.getrlimit(resource.RLIMIT_CORE)[1])
"""
    with python(program, DecodeLimits(memory_bytes=500_000_000)) as child:
        assert child.read(1000).split() == [b"memory", b"file", b"descriptors", b"0"]
        assert child.finish() == 0


def test_a_flood_of_complaints_is_cut_off() -> None:
    program = "import os, sys\nfor _ in range(100):\n try: os.write(2, b'x' * 100_000)\n except OSError: pass"
    with python(program) as child:
        assert child.read(1) == b""
        assert child.finish() == 0
        assert len(child.errors()) == 1 << 20


def test_settings_are_not_handed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMSCRIBE_WEBHOOK_HMAC_KEY", "secret")
    with python("import os; print(sorted(os.environ))") as child:
        listed = child.read(100_000)
        child.finish()
    assert b"PATH" in listed
    assert b"STEMSCRIBE" not in listed


def test_leaving_the_context_kills_the_whole_group(tmp_path: Path) -> None:
    mark = tmp_path / "still-alive"
    with Child(["exec", "/bin/sh", "-c", f"(sleep 0.5; touch {mark}) & echo started; wait"], DecodeLimits()) as child:
        assert child.read_line() == b"started"
    time.sleep(0.8)
    assert not mark.exists()


def test_leaving_the_context_after_the_group_has_gone() -> None:
    with python("print('done')") as child:
        assert child.read(1000) == b"done\n"
        os.waitpid(child._process.pid, 0)  # as whoever collects all children of this process would


def test_ffmpeg_comes_from_the_path_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    packaged = ffmpeg_path()
    assert packaged.is_file()
    (tmp_path / "ffmpeg").symlink_to(packaged)
    assert ffmpeg_path() == tmp_path / "ffmpeg"


def test_without_any_ffmpeg_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UnsupportedAudio, match="Install ffmpeg, or the Python package imageio-ffmpeg"):
        ffmpeg_path()


@pytest.mark.parametrize("playlist", ["#EXTM3U\n#EXTINF:1,\nfile://{}\n", "ffconcat version 1.0\nfile {}\n"])
def test_ffmpeg_follows_no_playlist_even_if_one_gets_that_far(tmp_path: Path, playlist: str) -> None:
    from pipeline.audio.sniff import MP3

    path = tmp_path / "a.mp3"
    path.write_text(playlist.format("/etc/passwd"))
    with pytest.raises(CorruptAudio, match="cannot be opened"):
        ffmpeg.inspect(path, MP3, DecodeLimits())
