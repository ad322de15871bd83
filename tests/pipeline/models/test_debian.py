"""Taking a file out of a Debian package that apt-get fetches: here an apt-get and a dpkg-deb of the test's own."""

import hashlib
import io
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipeline.errors import Cancelled, ChecksumMismatch, ModelUnavailable, SourceUnreachable
from pipeline.models.catalogue import DebianSource, DistributionSource, ModelEntry, WeightFile
from pipeline.models.debian import fetch_member
from pipeline.models.download import Patience
from pipeline.models.store import ModelStore

FONT = bytes(range(256)) * 400
MEMBER = "usr/share/sounds/sf3/Small.sf3"
PINNED = WeightFile("Small.sf3", len(FONT), hashlib.sha256(FONT).hexdigest())

# Of a package only what dpkg-deb unpacks of it matters here: the fake package is that tar itself.
_UNPACK = """
assert sys.argv[1] == "--fsys-tarfile"
sys.stdout.buffer.write(open(sys.argv[2], "rb").read())
"""
_DOWNLOAD = """
assert sys.argv[1] == "download" and sys.argv[-1] == "small-gm-soundfont"
assert os.environ["LC_ALL"] == "C"
package = open({package!r}, "rb").read()
with open("small-gm-soundfont_1.0-1_all.deb", "wb") as file:
    file.write(package[:1000])
    file.flush()
    time.sleep({seconds})
    file.write(package[1000:])
"""
_REFUSE = """
print("W: This is not what matters", file=sys.stderr)
print({words!r}, file=sys.stderr)
sys.exit(100)
"""


def package(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, contents in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(contents)
            archive.addfile(entry, io.BytesIO(contents))
    return buffer.getvalue()


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of its own, with a dpkg-deb."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    program(folder / "dpkg-deb", _UNPACK)
    return folder


def program(path: Path, text: str) -> None:
    path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{text}")
    path.chmod(0o755)


@pytest.fixture
def serve(bin_folder: Path, tmp_path: Path) -> Callable[..., None]:
    """Have an apt-get that downloads a package of these files, and takes so long."""

    def make(seconds: float = 0.0, **files: bytes) -> None:
        (tmp_path / "package").write_bytes(package(**files))
        text = _DOWNLOAD.format(package=str(tmp_path / "package"), seconds=seconds)
        program(bin_folder / "apt-get", text)

    return make


def fetch(target: Path, on_bytes: Callable[[int], None] = lambda _: None) -> None:
    fetch_member("small-gm-soundfont", MEMBER, target, PINNED, on_bytes, Patience())


def test_the_file_is_taken_out_and_nothing_else_stays(serve: Callable[..., None], tmp_path: Path) -> None:
    serve(seconds=0.3, **{"usr/share/doc/copyright": b"MIT", MEMBER: FONT})
    (tmp_path / "here").mkdir()
    done: list[int] = []
    fetch(tmp_path / "here" / PINNED.name, done.append)
    assert [path.name for path in (tmp_path / "here").iterdir()] == [PINNED.name]
    assert (tmp_path / "here" / PINNED.name).read_bytes() == FONT
    assert done == sorted(done)
    assert done[-1] > len(FONT)


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        ({MEMBER: FONT[:-1] + b"x"}, ChecksumMismatch, PINNED.sha256),
        ({"usr/share/sounds/sf3/Other.sf3": FONT}, SourceUnreachable, f"lacks {MEMBER}"),
    ],
)
def test_another_file_is_refused(
    files: dict[str, bytes], error: type[Exception], words: str, serve: Callable[..., None], tmp_path: Path
) -> None:
    serve(**files)
    (tmp_path / "here").mkdir()
    with pytest.raises(error, match=words):
        fetch(tmp_path / "here" / PINNED.name)
    assert list((tmp_path / "here").iterdir()) == []


def test_a_package_that_cannot_be_read_is_said_to_be(bin_folder: Path, tmp_path: Path) -> None:
    program(bin_folder / "apt-get", 'open("small-gm-soundfont.deb", "wb").write(b"<html>Please log in</html>" * 100)')
    with pytest.raises(SourceUnreachable, match="the package it gave cannot be read"):
        fetch(tmp_path / PINNED.name)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("E: Unable to locate package x", "apt-get says: Unable to locate package x; run apt-get update first"),
        ("E: Failed to fetch it  Could not resolve 'x.invalid'", "apt-get says: Failed to fetch it"),
        ("Killed", "apt-get says: exit code 100"),
    ],
)
def test_what_apt_says_is_told(words: str, told: str, bin_folder: Path, tmp_path: Path) -> None:
    program(bin_folder / "apt-get", _REFUSE.format(words=words))
    with pytest.raises(SourceUnreachable, match=told):
        fetch(tmp_path / PINNED.name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin"]


def test_without_apt_that_is_the_reason(bin_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match="apt-get is not installed"):
        fetch(tmp_path / PINNED.name)


def test_a_cancelled_fetch_leaves_no_process_and_no_file(
    serve: Callable[..., None], tmp_path: Path, left_running: Callable[[], list[psutil.Process]]
) -> None:
    serve(seconds=60.0, **{MEMBER: FONT})

    def stop(n_bytes: int) -> None:
        if n_bytes:
            raise Cancelled("Enough.")

    started = time.monotonic()
    with pytest.raises(Cancelled):
        fetch(tmp_path / PINNED.name, stop)
    assert time.monotonic() - started < 30
    assert left_running() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "package"]


def test_a_store_takes_the_next_source_where_there_is_no_apt(bin_folder: Path, tmp_path: Path) -> None:
    entry = ModelEntry(
        name="font",
        purpose="sonification",
        description="Made for a test.",
        licence="None.",
        files=(
            WeightFile("TimGM6mb.sf2", 5_994_284, "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1"),
        ),
        sources=(
            DebianSource("small-gm-soundfont", MEMBER),
            DistributionSource("pretty-midi", None, "pretty_midi/TimGM6mb.sf2"),
        ),
    )
    (path,) = ModelStore(tmp_path / "models", {"font": entry}).pull("font")
    assert path.stat().st_size == 5_994_284
    alone = replace(entry, name="alone", sources=entry.sources[:1])
    with pytest.raises(ModelUnavailable, match="Debian package small-gm-soundfont: apt-get is not installed"):
        ModelStore(tmp_path / "models", {"alone": alone}).pull("alone")
