"""What decides a result besides the input and the settings, as short strings: the code, and the weights.

Same strings, same result, to what is rounded differently on another kind of processor.  So a result may be used again
by whoever has the same strings.
"""

import hashlib
from collections.abc import Collection, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from pipeline.models.catalogue import CATALOGUE, ModelEntry, find

_FOLDER = Path(__file__).parent
# Those that make the numbers, and the files that numbers come from and go to.
_PACKAGES = (
    *("demucs", "numpy", "onnxruntime", "scipy", "soxr", "torch"),
    *("imageio-ffmpeg", "lameenc", "mido", "soundfile"),
)
_ABSENT = "absent"


@cache
def code_fingerprint() -> str:
    """SHA-256, in hex, of this package's files and of the versions of the packages that decide its results.

    A package that is not installed, as on a machine that serves and computes nothing, makes it another one.  Of a
    version only the release counts: not which processor it was built for.  An ffmpeg of the system's own is not in it.
    """
    digest = hashlib.sha256(folder_fingerprint(_FOLDER).encode())
    for package in _PACKAGES:
        digest.update(f"{package} {release_of(package)}\n".encode())
    return digest.hexdigest()


def folder_fingerprint(folder: Path) -> str:
    """SHA-256, in hex, of the names and contents of all files under a folder, but hidden ones and Python's caches."""
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    digest = hashlib.sha256()
    for name in sorted(files):
        if not any(part == "__pycache__" or part.startswith(".") for part in name.parts):
            contents = hashlib.sha256(files[name].read_bytes()).hexdigest()
            digest.update(f"{contents} {name.as_posix()}\n".encode())
    return digest.hexdigest()


def weights_fingerprint(names: Collection[str], catalogue: Mapping[str, ModelEntry] = CATALOGUE) -> str:
    """SHA-256, in hex, of what the catalogue pins of these models, in any order; reads no weights.

    Raises:
        UnknownModel: no such name.
    """
    digest = hashlib.sha256()
    for name in sorted(set(names)):
        pinned = " ".join(file.sha256 for file in find(name, catalogue).files)
        digest.update(f"{name} {pinned}\n".encode())
    return digest.hexdigest()


def release_of(package: str) -> str:
    """The release of a package, without the build; ``absent`` where it is not installed."""
    try:
        return metadata.version(package).partition("+")[0]
    except metadata.PackageNotFoundError:
        return _ABSENT
