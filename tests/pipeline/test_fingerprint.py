"""Strings that change exactly when results may."""

import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

import pipeline
from pipeline.errors import UnknownModel
from pipeline.fingerprint import code_fingerprint, folder_fingerprint, weights_fingerprint
from pipeline.models.catalogue import CATALOGUE

PACKAGE = Path(pipeline.__file__).parent
LIMIT_S = 0.05


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package's own files somewhere else, without what Python makes of them."""
    return shutil.copytree(PACKAGE, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))


def test_the_place_and_the_caches_of_python_do_not_matter(copy: Path) -> None:
    (copy / "audio" / "__pycache__").mkdir()
    (copy / "audio" / "__pycache__" / "wav.cpython-311.pyc").write_bytes(b"compiled")
    (copy / ".DS_Store").write_bytes(b"a desktop's")
    assert folder_fingerprint(copy) == folder_fingerprint(PACKAGE)


@pytest.mark.parametrize("name", ["song.py", "separation/separator.py", "transcription/note_network.safetensors"])
def test_every_byte_of_code_and_data_matters(copy: Path, name: str) -> None:
    with (copy / name).open("ab") as file:
        file.write(b"\n")
    assert folder_fingerprint(copy) != folder_fingerprint(PACKAGE)


def test_a_file_more_a_file_less_and_a_file_elsewhere(copy: Path) -> None:
    seen = {folder_fingerprint(copy)}
    (copy / "more.bin").touch()
    seen.add(folder_fingerprint(copy))
    (copy / "more.bin").rename(copy / "audio" / "more.bin")
    seen.add(folder_fingerprint(copy))
    (copy / "audio" / "more.bin").unlink()
    (copy / "song.py").unlink()
    seen.add(folder_fingerprint(copy))
    assert len(seen) == 4


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Versions that are told instead of those that are installed; none is, where it is empty."""
    told: dict[str, str] = {}
    installed = metadata.version

    def version(package: str) -> str:
        if told.get(package) == "":
            raise metadata.PackageNotFoundError(package)
        return told.get(package) or installed(package)

    monkeypatch.setattr(metadata, "version", version)
    return told


@pytest.mark.parametrize("package", ["demucs", "numpy", "onnxruntime", "scipy", "soxr", "torch"])
def test_versions_of_what_makes_the_numbers_matter(versions: dict[str, str], package: str) -> None:
    here = code_fingerprint.__wrapped__()
    assert here == code_fingerprint()
    versions[package] = "999.1"
    newer = code_fingerprint.__wrapped__()
    versions[package] = ""
    absent = code_fingerprint.__wrapped__()
    assert len({here, newer, absent}) == 3


def test_builds_of_one_release_are_one(versions: dict[str, str]) -> None:
    found = []
    for build in ("2.13.0", "2.13.0+cpu", "2.13.0+cu130"):
        versions["torch"] = build
        found.append(code_fingerprint.__wrapped__())
    assert len(set(found)) == 1


def test_it_is_quick_and_does_without_torch() -> None:
    code = (
        "import sys, time, pipeline.fingerprint as f\n"
        "took = min(timed(f) for _ in range(5))\n"
        "print(f.code_fingerprint(), took, any(m in sys.modules for m in ('torch', 'numpy', 'onnxruntime')))"
    )
    timed = (
        "def timed(f):\n"
        "    import time; start = time.thread_time(); f.code_fingerprint.__wrapped__()\n"
        "    return time.thread_time() - start\n"
    )
    run = subprocess.run([sys.executable, "-c", timed + code], check=True, capture_output=True, text=True)
    found, took_s, imported = run.stdout.split()
    assert found == code_fingerprint()
    assert float(took_s) < LIMIT_S
    assert imported == "False"


def test_weights_are_told_by_what_is_pinned_of_them() -> None:
    one = CATALOGUE["swift-f0"]
    (file,) = one.files
    other = {**CATALOGUE, "swift-f0": replace(one, files=(replace(file, sha256="0" * 64),))}
    renamed = {**CATALOGUE, "swift-f1": replace(one, name="swift-f1")}
    assert weights_fingerprint(["swift-f0"]) != weights_fingerprint(["swift-f0"], other)
    assert weights_fingerprint(["swift-f0"]) != weights_fingerprint(["swift-f1"], renamed)
    assert weights_fingerprint(["htdemucs"]) == weights_fingerprint(["htdemucs"], other)


def test_order_of_the_models_does_not_matter_but_each_does() -> None:
    assert weights_fingerprint(["swift-f0", "basic-pitch"]) == weights_fingerprint(("basic-pitch", "swift-f0"))
    several = [weights_fingerprint(names) for names in ((), ("swift-f0",), ("basic-pitch",), ("swift-f0", "htdemucs"))]
    assert len(set(several)) == 4


def test_weights_that_nobody_knows() -> None:
    with pytest.raises(UnknownModel, match="no model 'hdemucs'"):
        weights_fingerprint(["hdemucs"])
