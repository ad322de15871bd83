"""The folder of weights on this machine: pulled once, checked, then used offline."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from pipeline.errors import ChecksumMismatch, ModelError, ModelMissing, ModelUnavailable, SourceUnreachable
from pipeline.models.catalogue import CATALOGUE, ModelEntry, find
from pipeline.models.download import Patience, file_digest
from pipeline.models.sources import OnProgress, fetch, source_label

_LOCK_NAME = "pull.lock"


def default_root() -> Path:
    """Where weights are kept unless told otherwise: ``stemscribe/models`` in the user's cache folder (XDG)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stemscribe" / "models"


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """Whether a model is on this machine: every one of its files, with the size it should have."""

    name: str
    present: bool


class ModelStore:
    """Weights under ``root/<model>/<file>``.

    A file only gets its final name when its checksum is right, so its being there is enough to use it.  Any number of
    threads and processes may share a root; of several pulls of one model, one fetches and the others wait for it.

    Args:
        root: the folder; made on the first pull.
        catalogue: the models there are, by name.
        patience: how long sources are waited for.
    """

    def __init__(
        self, root: Path, catalogue: Mapping[str, ModelEntry] = CATALOGUE, patience: Patience | None = None
    ) -> None:
        self.root = root
        self.catalogue = catalogue
        self._patience = patience or Patience()

    def require(self, name: str) -> tuple[Path, ...]:
        """The model's files, in the catalogue's order; touches no network.

        Raises:
            UnknownModel: no such name.
            ModelMissing: not, or not wholly, in the cache; the message names the command that fetches it.
        """
        entry = find(name, self.catalogue)
        if not self._present(entry):
            raise ModelMissing(
                f"The weights of {name} are not in {self.root}. Fetch them: stemscribe models pull {name}"
            )
        return self._paths(entry)

    def pull(self, name: str, on_progress: OnProgress = lambda _: None) -> tuple[Path, ...]:
        """Fetch what is missing of a model, from the first of its sources that has it.

        Args:
            name: name in the catalogue.
            on_progress: called as bytes come; what it raises ends the pull, and the next one continues from there.

        Returns:
            As :meth:`require`.

        Raises:
            UnknownModel: no such name.
            ModelUnavailable: every source failed; lists each with its reason.
            ChecksumMismatch: a source gave something else.
            ModelError: the folder cannot be written.
        """
        entry = find(name, self.catalogue)
        if not self._present(entry):
            folder = self.root / name
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with FileLock(folder / _LOCK_NAME):
                    self._fetch(entry, on_progress)
                    self._tidy(entry)
            except OSError as error:
                raise ModelError(f"{folder} cannot be written: {error}") from error
        return self._paths(entry)

    def verify(self, name: str) -> None:
        """Read every file of a model again and compare its checksum, and that of its tensors where one is pinned.

        Raises:
            UnknownModel: no such name.
            ModelMissing: not in the cache.
            ChecksumMismatch: names the file, both checksums and what to do.
        """
        self.check_files(name)
        entry = find(name, self.catalogue)
        if entry.tensor_sha256 is not None:
            _verify_tensors(name, self._paths(entry), entry.tensor_sha256)

    def check_files(self, name: str) -> None:
        """Read every file of a model again and compare its checksum: 0.1 s for htdemucs.

        Raises:
            UnknownModel: no such name.
            ModelMissing: not in the cache.
            ChecksumMismatch: names the file, both checksums and what to do.
        """
        entry = find(name, self.catalogue)
        for path, file in zip(self.require(name), entry.files, strict=True):
            found = file_digest(path)
            if found != file.sha256:
                raise ChecksumMismatch(
                    f"{path} is damaged: its SHA-256 is {found}, not {file.sha256}. "
                    f"Delete it, then fetch it again: stemscribe models pull {name}"
                )

    def status(self, name: str) -> ModelStatus:
        """Whether a model is here, told from names and sizes.

        Raises:
            UnknownModel: no such name.
        """
        return ModelStatus(name, self._present(find(name, self.catalogue)))

    def _paths(self, entry: ModelEntry) -> tuple[Path, ...]:
        return tuple(self.root / entry.name / file.name for file in entry.files)

    def _present(self, entry: ModelEntry) -> bool:
        return all(
            path.is_file() and path.stat().st_size == file.size_bytes
            for path, file in zip(self._paths(entry), entry.files, strict=True)
        )

    def _fetch(self, entry: ModelEntry, on_progress: OnProgress) -> None:
        reasons = []
        for source in entry.sources:
            try:
                for path, file in zip(self._paths(entry), entry.files, strict=True):
                    if not (path.is_file() and path.stat().st_size == file.size_bytes):
                        fetch(source, file, path.parent, on_progress, self._patience)
            except SourceUnreachable as error:
                reasons.append(f"{source_label(source)}: {error.message}")
            else:
                return
        raise ModelUnavailable(f"The weights of {entry.name} could not be fetched. " + ". ".join(reasons) + ".")

    def _tidy(self, entry: ModelEntry) -> None:
        """Delete what pulls that broke off have left."""
        keep = {file.name for file in entry.files} | {_LOCK_NAME}
        for path in (self.root / entry.name).iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in keep:
                path.unlink()


def _verify_tensors(name: str, paths: tuple[Path, ...], pinned: str) -> None:
    from safetensors.numpy import load_file  # numpy is not needed to fetch a file or to see that it is there

    from pipeline.models.tensors import tensor_digest

    found = tensor_digest({key: tensor for path in paths for key, tensor in load_file(path).items()})
    if found != pinned:
        raise ChecksumMismatch(
            f"The tensors of {name} are not the pinned ones, though its files are: their SHA-256 is {found}, "
            f"not {pinned}. The catalogue contradicts itself; update or reinstall Stemscribe."
        )
