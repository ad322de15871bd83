"""The weights and soundfonts this software knows: what each is for, its licence, where it comes from, its checksums.

Checksums are pinned here and nowhere else.  A file of a model is one file with one SHA-256, whichever source it came
from: what the npm package holds as ONNX is converted to the very bytes that the Hugging Face hub serves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import UnknownModel

Purpose = Literal["separation", "transcription", "sonification"]


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository of the Hugging Face hub, at one revision; it serves each file under the file's own name."""

    repo: str
    revision: str


@dataclass(frozen=True, slots=True)
class NpmSource:
    """An npm package whose tarball holds htdemucs as ONNX.

    Attributes:
        member: path of the ONNX file inside the tarball.
        size_bytes, sha256: of the tarball.
    """

    package: str
    version: str
    member: str
    size_bytes: int
    sha256: str

    @property
    def spec(self) -> str:
        """What npm calls it: ``name@version``."""
        return f"{self.package}@{self.version}"


@dataclass(frozen=True, slots=True)
class DistributionSource:
    """A file inside an installed Python distribution, which is found by its metadata and never imported.

    Attributes:
        version: the only one that will do; any where None, since the file's checksum decides.
    """

    distribution: str
    version: str | None
    member: str


@dataclass(frozen=True, slots=True)
class DebianSource:
    """A file inside a package of Debian and what descends from it, which this machine's own apt-get downloads.

    No root is needed, and nothing is installed.  Which version comes is apt's choice; the file's checksum decides.

    Attributes:
        member: path of the file where it would be installed, without the leading slash.
    """

    package: str
    member: str


Source = HubSource | NpmSource | DistributionSource | DebianSource


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file of a model, under the name it has in the cache."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One model of the catalogue.

    Attributes:
        name: what users and settings call it.
        purpose: which stage of the pipeline it is for; what is for sonification is optional.
        description: one line for ``stemscribe models list``.
        licence: in plain words, with what is unclear about it.
        files: in the order in which the model's networks are numbered.
        sources: in the order in which they are tried.
        bag_weights: for a bag of networks, ``bag_weights[i][j]`` is the weight of network ``i`` in stem ``j``;
            None where every network counts the same.
        stems: what a separator gives, in its own order; none of a transcriber.
        tensor_sha256: :func:`pipeline.models.tensors.tensor_digest` of the weights of all files;
            None where not known.
    """

    name: str
    purpose: Purpose
    description: str
    licence: str
    files: tuple[WeightFile, ...]
    sources: tuple[Source, ...]
    bag_weights: tuple[tuple[float, ...], ...] | None = None
    stems: tuple[str, ...] = ()
    tensor_sha256: str | None = None

    @property
    def size_bytes(self) -> int:
        """What the model takes on disk."""
        return sum(file.size_bytes for file in self.files)


_DEMUCS_LICENCE = (
    "Code MIT (Meta). The copies of the weights on the hub say MIT too, but the author wrote of the weights that they "
    'are for "scientific purposes" (facebookresearch/demucs issues 327 and 508): whether they may be used '
    "commercially is not settled."
)

_FOUR_STEMS = ("drums", "bass", "other", "vocals")

_ENTRIES = (
    ModelEntry(
        name="htdemucs",
        purpose="separation",
        description="Hybrid Transformer Demucs, four stems: the default.",
        licence=_DEMUCS_LICENCE,
        files=(
            WeightFile(
                "955717e8.safetensors",
                84_025_440,
                "d9fa14133cfcc034a6758923bb3a8ca9f8dfd0b582134643bbf83f72c17576dd",
            ),
        ),
        sources=(
            HubSource("adefossez/HTDemucs", "bf35a81b663819a8255c8fefee17f9d812b786b5"),
            NpmSource(
                package="demucs",
                version="1.0.0",
                member="package/htdemucs.onnx",
                size_bytes=98_176_342,
                sha256="83aadd00d48cd2a0c2e81e2a35616f4fa41a41f5c07efcc4a5c1959377b4ec42",
            ),
        ),
        stems=_FOUR_STEMS,
        tensor_sha256="eb3e1dda3602d8037fe69625f632075f7195a0cb81d12c6572f2a4da1f11cb6d",
    ),
    ModelEntry(
        name="htdemucs_6s",
        purpose="separation",
        description="Hybrid Transformer Demucs, six stems (guitar and piano too; the piano is weak).",
        licence=_DEMUCS_LICENCE,
        files=(
            WeightFile(
                "5c90dfd2.safetensors",
                54_885_744,
                "d2a1745f0744721f6b8ca5bf469b67c651ea5ed1b52998cab033b2158609d411",
            ),
        ),
        sources=(HubSource("adefossez/HTDemucs-6s", "3c5ee475be622df764938de97e4281a7b07ffa58"),),
        stems=(*_FOUR_STEMS, "guitar", "piano"),
    ),
    ModelEntry(
        name="htdemucs_ft",
        purpose="separation",
        description="Hybrid Transformer Demucs, one fine-tuned network per stem: a little better, four times slower.",
        licence=_DEMUCS_LICENCE,
        files=(
            WeightFile(
                "f7e0c4bc.safetensors",
                84_025_440,
                "2c85ab3c62dd6edd8e0b965e38b16fd1cdde357cc25de6b6bc9ce7c83f60925f",
            ),
            WeightFile(
                "d12395a8.safetensors",
                84_025_440,
                "5b01a97567ae9a3178a6236fb520251045c03eb8834bc8c24a4eec11d6c8fb56",
            ),
            WeightFile(
                "92cfc3b6.safetensors",
                84_025_440,
                "a241863551f30d01c42bd7b97da40839922ead3acb0f1fcab25682f55b4eeb59",
            ),
            WeightFile(
                "04573f0d.safetensors",
                84_025_440,
                "68854b0d7c2b3274723b5761f6fd9f5aec5f1bcd3f0de7c1669546fdb7871b7c",
            ),
        ),
        sources=(HubSource("adefossez/HTDemucs-ft", "478be8a68f85418addd6f7baefd4be76522a4034"),),
        bag_weights=(
            (1.0, 0.0, 0.0, 0.0),
            (0.0, 1.0, 0.0, 0.0),
            (0.0, 0.0, 1.0, 0.0),
            (0.0, 0.0, 0.0, 1.0),
        ),
        stems=_FOUR_STEMS,
    ),
    ModelEntry(
        name="basic-pitch",
        purpose="transcription",
        description="Basic Pitch's note network, for any pitched instrument.",
        licence="Apache-2.0 (Spotify), code and weights.",
        files=(WeightFile("nmp.onnx", 230_444, "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec"),),
        sources=(DistributionSource("basic-pitch", "0.4.0", "basic_pitch/saved_models/icassp_2022/nmp.onnx"),),
    ),
    ModelEntry(
        name="swift-f0",
        purpose="transcription",
        description="SwiftF0's pitch network, for a single voice: bass, vocals.",
        licence="MIT (Lars Nieradzik), code and weights.",
        files=(WeightFile("model.onnx", 135_090, "6385e8c2ebc3872e82c9ff5946228de44cd3be77a750ea53698b7dbfe94b0a22"),),
        sources=(DistributionSource("swift-f0", "0.3.0", "swift_f0/model.onnx"),),
    ),
    # Soundfonts, the best first: the first that is here is played with.
    ModelEntry(
        name="fluidr3-mono",
        purpose="sonification",
        description="FluidR3 Mono GM, a General MIDI soundfont to play notes with. Optional.",
        licence="MIT (Frank Wen; mono version Michael Cowgill).",
        files=(
            WeightFile(
                "FluidR3Mono_GM.sf3",
                23_614_353,
                "cda013d8c370a48ae8dad271e761078d2e77455488dabdedbfbe5fc76a38c682",
            ),
        ),
        sources=(DebianSource("fluidr3mono-gm-soundfont", "usr/share/fluidr3mono-gm-soundfont/FluidR3Mono_GM.sf3"),),
    ),
    ModelEntry(
        name="timgm6mb",
        purpose="sonification",
        description="TimGM6mb, a small General MIDI soundfont, where FluidR3 Mono cannot be had. Optional.",
        licence=(
            "GPL-2 (Tim Brechbill, David Bolton). A file of its own that comes with the Python package pretty_midi; no "
            "part of this software."
        ),
        files=(
            WeightFile(
                "TimGM6mb.sf2",
                5_994_284,
                "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1",
            ),
        ),
        sources=(DistributionSource("pretty-midi", None, "pretty_midi/TimGM6mb.sf2"),),
    ),
)

CATALOGUE: Mapping[str, ModelEntry] = {entry.name: entry for entry in _ENTRIES}


def soundfonts(catalogue: Mapping[str, ModelEntry] = CATALOGUE) -> tuple[str, ...]:
    """Names of the soundfonts, the best first."""
    return tuple(entry.name for entry in catalogue.values() if entry.purpose == "sonification")


def find(name: str, catalogue: Mapping[str, ModelEntry] = CATALOGUE) -> ModelEntry:
    """The entry of that name.

    Raises:
        UnknownModel: no such entry; the message lists the names there are.
    """
    try:
        return catalogue[name]
    except KeyError:
        raise UnknownModel(f"There is no model {name!r}; known are {', '.join(catalogue)}.") from None
