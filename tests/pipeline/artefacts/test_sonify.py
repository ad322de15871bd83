"""Notes played with a real soundfont, and without one."""

import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from numpy.typing import NDArray

from pipeline.artefacts.sonify import RING_S, Sonified, sonify
from pipeline.artefacts.soundfont import SoundfontPlayer
from pipeline.artefacts.timbres import RATE_HZ
from pipeline.errors import AudioLimitExceeded, Cancelled, ModelError
from pipeline.models.soundfonts import Soundfont, installed_soundfont
from pipeline.models.store import ModelStore
from pipeline.notes import Instrument, Note
from pipeline.song import SongPipeline
from support.composed import composed_song


@pytest.fixture(scope="module")
def font(tmp_path_factory: pytest.TempPathFactory) -> Soundfont:
    """The one that is on every machine."""
    store = ModelStore(tmp_path_factory.mktemp("models"))
    store.pull("timgm6mb")
    found = installed_soundfont(store)
    assert found is not None
    return found


def part(program: int, *notes: Note) -> Instrument:
    return Instrument("Any", program, False, "other", notes)


def drums(*notes: Note) -> Instrument:
    return Instrument("Drums", 0, True, "drums", notes)


def played(
    instruments: list[Instrument], duration_s: float, tmp_path: Path, font: Soundfont | None
) -> NDArray[np.float64]:
    """What players hear: shape (n_samples, 2)."""
    path = tmp_path / "song.wav"
    made = sonify(instruments, duration_s, path, font)
    info = sf.info(path)
    assert (info.format, info.subtype, info.samplerate, info.channels) == ("WAV", "PCM_16", RATE_HZ, 2)
    samples, _ = sf.read(path, always_2d=True)
    assert made == Sonified(path, font.name if font else None, len(samples) / RATE_HZ)
    return samples


def level(samples: NDArray[np.float64], from_s: float, to_s: float) -> float:
    return float(np.sqrt((samples[round(from_s * RATE_HZ) : round(to_s * RATE_HZ)] ** 2).mean()))


def dominant_hz(samples: NDArray[np.float64], from_s: float) -> float:
    piece = samples[round(from_s * RATE_HZ) :][:RATE_HZ].sum(axis=1)
    return float(np.argmax(np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 4 * RATE_HZ))) / 4)


def test_notes_sound_when_they_are_played(font: Soundfont, tmp_path: Path) -> None:
    starts = (0.5, 1.0, 1.9999, 3.0, 4.2, 5.123)  # blocks of a second meet at 1, 2, ...
    samples = played([part(115, *(Note(72, at, at + 0.1, 0.9) for at in starts))], 7.0, tmp_path, font)  # woodblock
    assert level(samples, 0.0, 0.49) == 0.0
    for at in starts:
        heard = np.abs(samples[round((at - 0.02) * RATE_HZ) :]).max(axis=1)[: RATE_HZ // 4]
        onset_s = at - 0.02 + np.argmax(heard > 0.2 * heard.max()) / RATE_HZ
        assert onset_s == pytest.approx(at, abs=0.01)


@pytest.mark.parametrize("pitch", [40, 57, 69, 81])
@pytest.mark.parametrize("program", [16, 73])  # organ, flute
def test_it_plays_in_tune(program: int, pitch: int, font: Soundfont, tmp_path: Path) -> None:
    samples = played([part(program, Note(pitch, 0.2, 2.0, 0.8))], 2.0, tmp_path, font)
    ratio = dominant_hz(samples, 0.5) / (440 * 2 ** ((pitch - 69) / 12))
    octave = 2.0 ** round(np.log2(ratio))  # a partial may be louder than the fundamental
    assert 1200 * np.log2(ratio / octave) == pytest.approx(0, abs=20)


def test_programs_differ(font: Soundfont, tmp_path: Path) -> None:
    """The same note by a piano and by strings: the one fades, the other stays."""

    def held(program: int) -> float:
        samples = played([part(program, Note(60, 0.1, 3.0, 0.8))], 3.0, tmp_path, font)
        return level(samples, 2.2, 2.8) / level(samples, 0.1, 0.5)

    assert held(0) < 0.4
    assert held(48) > 0.8


def test_drums_are_drums(font: Soundfont, tmp_path: Path) -> None:
    hits = drums(Note(36, 0.5, 0.6, 0.9), Note(42, 1.5, 1.6, 0.9), Note(38, 2.5, 2.6, 0.9))
    samples = played([hits], 4.0, tmp_path, font)

    def centre_hz(at_s: float) -> float:
        power = np.abs(np.fft.rfft(samples[round(at_s * RATE_HZ) :][:4410, 0])) ** 2
        return float((np.fft.rfftfreq(4410, 1 / RATE_HZ) * power).sum() / power.sum())

    assert min(level(samples, at, at + 0.1) for at in (0.5, 1.5, 2.5)) > 0.01
    assert centre_hz(0.5) < centre_hz(2.5) < centre_hz(1.5)


def test_louder_notes_are_louder(font: Soundfont, tmp_path: Path) -> None:
    samples = played([part(0, Note(60, 0.5, 1.0, 0.3), Note(60, 2.5, 3.0, 0.9))], 4.0, tmp_path, font)
    assert level(samples, 2.5, 3.0) > 3 * level(samples, 0.5, 1.0)


def test_a_note_struck_again_sounds_again(font: Soundfont, tmp_path: Path) -> None:
    samples = played([part(0, Note(60, 0.5, 1.5, 0.8), Note(60, 1.5, 2.5, 0.8))], 3.0, tmp_path, font)
    assert level(samples, 1.5, 1.7) > 1.3 * level(samples, 1.2, 1.4)


def test_more_instruments_than_midi_has_channels(font: Soundfont, tmp_path: Path) -> None:
    """Twenty organs play one after the other, each its own key, and drums among them."""
    organs = [part(16, Note(60 + index, 0.1 + index, 0.9 + index, 0.8)) for index in range(20)]
    samples = played([*organs[:10], drums(Note(36, 20.5, 20.6, 0.9)), *organs[10:]], 22.0, tmp_path, font)
    heard = [dominant_hz(samples[: round((index + 0.9) * RATE_HZ)], index + 0.2) for index in range(20)]
    assert np.allclose([1200 * np.log2(after / before) for before, after in pairwise(heard)], 100, atol=15)
    assert level(samples, 20.5, 20.6) > 0.01


@pytest.mark.parametrize("with_font", [True, False])
def test_levels(with_font: bool, font: Soundfont, tmp_path: Path) -> None:
    for song in (composed_song(120, duration_s=20.0), [part(0, Note(60, 0.5, 1.0, 0.1))]):
        samples = played(song, 20.0, tmp_path, font if with_font else None)
        assert -2.0 < 20 * np.log10(np.abs(samples).max()) < -1.0


@pytest.mark.parametrize("with_font", [True, False])
def test_it_is_as_long_as_the_song_and_rings_out(with_font: bool, font: Soundfont, tmp_path: Path) -> None:
    chosen = font if with_font else None
    to_the_end = played([part(48, Note(60, 1.0, 5.0, 0.8))], 4.0, tmp_path, chosen)
    assert len(to_the_end) == round((4.0 + RING_S) * RATE_HZ)
    assert level(to_the_end, 3.5, 4.0) > 0.01
    assert np.abs(to_the_end[-200:]).max() < 0.001
    early = played([part(0, Note(60, 0.2, 0.4, 0.5), Note(60, 12.0, 13.0, 0.9))], 10.0, tmp_path, chosen)
    assert len(early) == 10 * RATE_HZ


@pytest.mark.parametrize("with_font", [True, False])
def test_without_notes_it_is_silence_as_long_as_the_song(with_font: bool, font: Soundfont, tmp_path: Path) -> None:
    for instruments in ([], [part(0)], [part(0, Note(60, 9.0, 9.5, 0.8))]):
        samples = played(instruments, 3.3, tmp_path, font if with_font else None)
        assert samples.shape == (round(3.3 * RATE_HZ), 2)
        assert np.abs(samples).max() == 0.0
    assert len(played([], 0.0, tmp_path, font if with_font else None)) == 0


@pytest.mark.parametrize("with_font", [True, False])
def test_the_same_notes_give_the_same_bytes(with_font: bool, font: Soundfont, tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        sonify(composed_song(100, duration_s=12.0), 12.0, tmp_path / "song.wav", font if with_font else None)
        made.append((tmp_path / "song.wav").read_bytes())
    assert made[0] == made[1]


def test_it_can_be_played_again(font: Soundfont) -> None:
    """Its level is found by playing it once: what is played then must be the same, with nothing left of before."""
    player = SoundfontPlayer(font.path, composed_song(120, duration_s=8.0))
    first, second = (np.concatenate(list(player.play(6 * RATE_HZ)), axis=1) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("with_font", [True, False])
@pytest.mark.parametrize("until", [0.0, 0.3, 0.8, 1.0])
def test_stopping_leaves_nothing(until: float, with_font: bool, font: Soundfont, tmp_path: Path) -> None:
    told: list[float] = []

    def stop(fraction: float) -> None:
        told.append(fraction)
        if fraction >= until:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        sonify(composed_song(120), 20.0, tmp_path / "song.wav", font if with_font else None, stop)
    assert list(tmp_path.iterdir()) == []
    assert told == sorted(told)


@pytest.mark.parametrize("with_font", [True, False])
def test_it_tells_how_far_it_is(with_font: bool, font: Soundfont, tmp_path: Path) -> None:
    told: list[float] = []
    sonify(composed_song(120, duration_s=60.0), 60.0, tmp_path / "song.wav", font if with_font else None, told.append)
    assert told[0] == 0.0
    assert told[-1] == 1.0
    assert told == sorted(told)
    assert max(np.diff(told)) < 0.35


def test_memory_does_not_grow_with_the_song(font: Soundfont, tmp_path: Path) -> None:
    def peak_bytes(duration_s: float) -> int:
        song = composed_song(120, duration_s=duration_s)
        tracemalloc.start()
        sonify(song, duration_s, tmp_path / "song.wav", font)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(5.0)
    assert peak_bytes(120.0) < 30 << 20


def test_what_is_no_soundfont_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.sf2").write_bytes(b"RIFF" + bytes(1000))
    with pytest.raises(ModelError, match=r"bad\.sf2 is damaged.*stemscribe models pull"):
        sonify(composed_song(120), 20.0, tmp_path / "song.wav", Soundfont("bad", tmp_path / "bad.sf2"))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.sf2"]


def test_longer_than_a_wav_can_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioLimitExceeded, match="30000 s"):
        sonify([], 30_000.0, tmp_path / "song.wav", None)


def test_the_pipeline_takes_the_soundfont_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ModelStore(tmp_path / "models")
    stages: list[str] = []

    def made() -> Sonified:
        out = tmp_path / "made" / "song.wav"
        return SongPipeline(store).sonify(
            [drums(Note(36, 0.5, 0.6, 0.9))], 1.0, out, on_progress=lambda *at: stages.append(at[0])
        )

    assert made().soundfont is None  # and the plain synthesiser played
    without = (tmp_path / "made" / "song.wav").read_bytes()
    store.pull("timgm6mb")
    assert made().soundfont == "timgm6mb"
    assert (tmp_path / "made" / "song.wav").read_bytes() != without
    assert set(stages) == {"playing"}
    monkeypatch.setattr("pipeline.models.soundfonts.can_play", lambda: False)  # a platform without the player
    assert made().soundfont is None
    assert (tmp_path / "made" / "song.wav").read_bytes() == without
