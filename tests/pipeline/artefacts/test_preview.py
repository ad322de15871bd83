"""The notes played: when, how high, how loud; and files that players accept."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from numpy.typing import NDArray

from pipeline.artefacts.drum_sounds import drum_sound
from pipeline.artefacts.preview import LONGEST_SOUND_S, SILENCE_S, write_preview
from pipeline.artefacts.timbres import RATE_HZ, Tones, timbre_of
from pipeline.errors import Cancelled
from pipeline.notes import Instrument, Note
from support.composed import composed_song


def played(instruments: list[Instrument], duration_s: float, path: Path) -> NDArray[np.float64]:
    """What players hear: shape (n_samples, 2)."""
    write_preview(instruments, duration_s, path)
    assert sf.info(path).format == "MP3"
    samples, rate_hz = sf.read(path, always_2d=True)
    assert rate_hz == RATE_HZ
    assert samples.shape[1] == 2
    return samples


def part(program: int, *notes: Note) -> Instrument:
    return Instrument("Any", program, False, "other", notes)


def level(samples: NDArray[np.float64], from_s: float, to_s: float) -> float:
    return float(np.sqrt((samples[round(from_s * RATE_HZ) : round(to_s * RATE_HZ)] ** 2).mean()))


@pytest.mark.parametrize("duration_s", [0.5, 16.0, 20.0])
def test_it_is_as_long_as_the_song(duration_s: float, tmp_path: Path) -> None:
    samples = played([part(0, Note(60, 0.1, 0.4, 0.8))], duration_s, tmp_path / "p.mp3")
    assert len(samples) / RATE_HZ == pytest.approx(duration_s, abs=0.05)  # whole MP3 frames


def test_notes_sound_when_they_are_played(tmp_path: Path) -> None:
    starts = (0.5, 15.9, 32.0, 33.25)  # blocks of sixteen seconds meet at 16 and 32
    samples = played([part(0, *(Note(72, at, at + 0.3, 0.9) for at in starts))], 35.0, tmp_path / "p.mp3")
    for at in starts:
        before, heard = at - 0.02, np.abs(samples[round((at - 0.02) * RATE_HZ) :]).max(axis=1)
        onset_s = before + np.argmax(heard > 0.3 * heard[: RATE_HZ // 4].max()) / RATE_HZ
        assert onset_s == pytest.approx(at, abs=0.005)
    assert level(samples, 2.0, 15.0) < 0.001  # and not otherwise


def test_a_note_goes_on_into_the_next_block(tmp_path: Path) -> None:
    samples = played([part(48, Note(60, 14.0, 19.0, 0.8))], 22.0, tmp_path / "p.mp3")
    assert level(samples, 18.0, 18.9) == pytest.approx(level(samples, 15.0, 15.9), rel=0.1)
    assert level(samples, 19.5, 21.0) < 0.001


@pytest.mark.parametrize("program", [0, 4, 11, 16, 25, 30, 33, 46, 48, 53, 56, 65, 73, 81, 89, 105, 115])
@pytest.mark.parametrize("pitch", [33, 60, 84])
def test_every_family_plays_in_tune(program: int, pitch: int) -> None:
    sound = Tones().note(timbre_of(program), pitch, 1.0, 0.7)
    power = np.abs(np.fft.rfft(sound[: RATE_HZ // 2] * np.hanning(RATE_HZ // 2))) ** 2
    hz = np.fft.rfftfreq(RATE_HZ // 2, 1 / RATE_HZ)
    fundamental_hz = 440 * 2 ** ((pitch - 69) / 12)
    harmonic = hz / fundamental_hz
    off_hz = np.abs(harmonic - np.maximum(np.rint(harmonic), 1)) * fundamental_hz
    width_hz = 6 + 0.02 * hz  # the window's own, and vibrato's
    assert power[off_hz < width_hz].sum() / power.sum() > 0.97
    at_fundamental = power[np.abs(hz - fundamental_hz) < width_hz].sum() / power.sum()
    assert at_fundamental > 0.15


@pytest.mark.parametrize("program", range(0, 128, 8))
def test_no_note_clicks_or_exceeds_full_scale(program: int) -> None:
    for length_s in (0.01, 0.2, 3.0):
        sound = Tones().note(timbre_of(program), 64, length_s, 1.0)
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() < 1.5
        assert abs(sound[0]) < 0.01
        assert abs(sound[-1]) < 0.01


@pytest.mark.parametrize("key", [*range(35, 60), 62, 69, 76, 81, 3])
def test_every_drum_makes_a_sound_that_ends(key: int) -> None:
    sound = drum_sound(key)
    assert 0.1 < np.abs(sound).max() < 1.5
    assert abs(sound[-1]) < 0.001
    assert len(sound) / RATE_HZ < LONGEST_SOUND_S


def test_kick_snare_and_hat_differ_as_they_do() -> None:
    def centre_hz(key: int) -> float:
        spectrum = np.abs(np.fft.rfft(drum_sound(key)))
        return float((np.fft.rfftfreq(len(drum_sound(key)), 1 / RATE_HZ) * spectrum).sum() / spectrum.sum())

    assert centre_hz(36) < centre_hz(38) < centre_hz(42)
    assert len(drum_sound(42)) < len(drum_sound(46)) < len(drum_sound(49))


def test_louder_notes_are_louder(tmp_path: Path) -> None:
    samples = played([part(0, Note(60, 0.5, 1.0, 0.3), Note(60, 2.5, 3.0, 0.9))], 4.0, tmp_path / "p.mp3")
    assert level(samples, 2.5, 3.0) > 3 * level(samples, 0.5, 1.0)


def test_its_peak_is_about_minus_one_dbfs(tmp_path: Path) -> None:
    for number, song in enumerate((composed_song(120), [part(0, Note(60, 0.5, 1.0, 0.1))])):
        peak_db = 20 * np.log10(np.abs(played(song, 20.0, tmp_path / f"{number}.mp3")).max())
        assert -2.5 < peak_db < 0.0


def test_instruments_are_apart_and_drums_and_bass_in_the_middle(tmp_path: Path) -> None:
    tune = Note(72, 0.5, 1.5, 0.8)
    right, left = (Note(72, at, at + 1.0, 0.8) for at in (2.0, 4.0))
    bass = Instrument("Electric Bass (finger)", 33, False, "bass", (tune,))
    samples = played([bass, part(25, right), part(26, left)], 6.0, tmp_path / "p.mp3")

    def balance(at_s: float) -> float:
        sides = [level(samples[:, channel : channel + 1], at_s, at_s + 1.0) for channel in (0, 1)]
        return sides[1] / sides[0]

    assert balance(0.5) == pytest.approx(1.0, abs=0.05)
    assert balance(2.0) > 1.3
    assert balance(4.0) < 1 / 1.3


def test_without_notes_it_is_a_short_silence(tmp_path: Path) -> None:
    for number, duration_s in enumerate((0.0, 3.0, 1800.0)):
        samples = played([], duration_s, tmp_path / f"{number}.mp3")
        assert len(samples) / RATE_HZ == pytest.approx(min(max(duration_s, 0.1), SILENCE_S), abs=0.05)
        assert np.abs(samples).max() == 0.0


def test_notes_beyond_the_end_are_left_out(tmp_path: Path) -> None:
    samples = played([part(0, Note(60, 0.2, 0.4, 0.5), Note(60, 5.0, 6.0, 0.5))], 1.0, tmp_path / "p.mp3")
    assert len(samples) / RATE_HZ == pytest.approx(1.0, abs=0.05)


def test_a_drone_has_an_end(tmp_path: Path) -> None:
    samples = played([part(48, Note(60, 0.0, 20.0, 0.8))], 20.0, tmp_path / "p.mp3")
    assert level(samples, 10.0, 14.0) > 0.05
    assert level(samples, 15.5, 19.0) < 0.001


def test_memory_does_not_grow_with_the_song(tmp_path: Path) -> None:
    def peak_bytes(duration_s: float) -> int:
        song = composed_song(120, duration_s=duration_s)
        tracemalloc.start()
        write_preview(song, duration_s, tmp_path / "p.mp3")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(33.0)  # the drums' sounds are made once
    assert peak_bytes(100.0) < 1.05 * peak_bytes(50.0) < 150 << 20


def test_it_can_be_stopped(tmp_path: Path) -> None:
    calls = []

    def on_block() -> None:
        calls.append(None)
        if len(calls) == 2:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        write_preview(composed_song(120, duration_s=60.0), 60.0, tmp_path / "p.mp3", on_block)


def test_the_same_notes_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.mp3", "b.mp3"):
        write_preview(composed_song(100, duration_s=20.0), 20.0, tmp_path / name)
    assert (tmp_path / "a.mp3").read_bytes() == (tmp_path / "b.mp3").read_bytes()
