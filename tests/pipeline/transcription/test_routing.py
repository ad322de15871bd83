import shutil
import tracemalloc

import numpy as np
import pretty_midi
import pytest

from bench.bench_note_decoding import tone
from pipeline.audio.source import AudioSource
from pipeline.errors import ModelMissing, UnknownTranscriber
from pipeline.models.store import ModelStore
from pipeline.notes import Instrument, Note
from pipeline.transcription.choices import BASIC_PITCH, TRANSCRIBERS
from pipeline.transcription.players import INSTRUMENTS
from pipeline.transcription.routing import ANY_OTHER, ROUTES, Route, Transcription
from support.voices import organ_tune

RATE_HZ = 44_100


@pytest.fixture
def store(tmp_path) -> ModelStore:
    """A store that holds the networks of all routes."""
    store = ModelStore(tmp_path / "models")
    store.pull("basic-pitch")
    store.pull("swift-f0")
    return store


@pytest.fixture
def empty_store(tmp_path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def source(tmp_path):
    def write(samples: np.ndarray, rate_hz: int = RATE_HZ) -> AudioSource:
        """Samples of shape (channels, n) as a decoded file."""
        path = tmp_path / f"audio{len(list(tmp_path.iterdir()))}.f32"
        np.ascontiguousarray(samples.T).astype("<f4").tofile(path)
        return AudioSource(path, rate_hz, samples.shape[0], samples.shape[1])

    return write


def one(transcription: Transcription, stem: str, audio: AudioSource) -> Instrument:
    """The only instrument of a stem transcribed alone."""
    (instrument,) = transcription.transcribe({stem: audio})
    return instrument


def melody(rate_hz: int = RATE_HZ) -> np.ndarray:
    """Five tones, one every half second from 0.25 s on, in both channels: float32, shape (2, 3 s)."""
    audio = np.zeros((2, 3 * rate_hz), dtype=np.float32)
    for index, pitch in enumerate((48, 55, 52, 60, 48)):
        start = round((0.25 + 0.5 * index) * rate_hz)
        sound = 0.2 * tone(pitch, 0.45, rate_hz=rate_hz)
        audio[:, start : start + len(sound)] += sound
    return audio


@pytest.mark.parametrize("stem", ["bass", "vocals", "guitar", "piano", "other", "kazoo"])
def test_every_pitched_stem_becomes_its_instrument(store, source, stem):
    instrument = one(Transcription(store), stem, source(melody()))
    route = ROUTES.get(stem, ANY_OTHER)
    may_be = [INSTRUMENTS[family] for family in route.ensemble.families] if route.ensemble else []
    assert (instrument.name, instrument.program) in (may_be or [(route.name, route.program)])
    assert (instrument.stem, instrument.is_drum) == (stem, False)
    tune = [note.pitch % 12 for note in instrument.notes if note.velocity > 0.4]  # octaves are the transcribers' affair
    assert tune == [0, 7, 4, 0, 0]
    assert list(instrument.notes) == sorted(instrument.notes, key=lambda note: (note.start_s, note.pitch))


@pytest.mark.parametrize("rate_hz", [8_000, 48_000, 192_000])
def test_the_rate_of_the_audio_does_not_matter(store, source, rate_hz):
    instrument = one(Transcription(store), "bass", source(melody(rate_hz), rate_hz))
    loud = [note for note in instrument.notes if note.velocity > 0.4]
    assert [note.pitch for note in loud] == [48, 55, 52, 60, 48]
    assert [note.start_s for note in loud] == pytest.approx([0.25, 0.75, 1.25, 1.75, 2.25], abs=0.03)
    assert max(note.end_s for note in instrument.notes) <= 3


def test_a_high_rate_costs_no_memory(empty_store, tmp_path):
    """A minute of stereo at 192 kHz: its mono would be 46 MB, at 44.1 kHz it is 11, and blocks take a few more."""
    path = tmp_path / "long.f32"
    with path.open("wb") as file:
        file.truncate(60 * 192_000 * 2 * 4)
    tracemalloc.start()
    try:
        audio = AudioSource(path, 192_000, 2, 60 * 192_000)
        assert Transcription(empty_store).transcribe({"drums": audio}) == ()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 30_000_000


def test_names_are_spelled_as_general_midi_has_them():
    pitched = [route for route in [*ROUTES.values(), ANY_OTHER] if not route.is_drum]
    for route in pitched:
        assert pretty_midi.program_to_instrument_name(route.program) == route.name
    assert [route.name for route in ROUTES.values() if route.is_drum] == ["Drums"]


def test_drums_go_to_the_drum_transcriber(empty_store, source):
    rng = np.random.default_rng(0)
    audio = np.zeros((1, 3 * RATE_HZ), dtype=np.float32)
    time_s = np.arange(RATE_HZ // 4) / RATE_HZ
    thump = np.sin(2 * np.pi * 55 * time_s) * np.exp(-18 * time_s)
    click = 0.3 * rng.standard_normal(len(time_s)) * np.exp(-300 * time_s)
    hit = thump + click
    for start_s in (0.5, 1.5, 2.5):
        start = round(start_s * RATE_HZ)
        audio[0, start : start + len(hit)] += 0.6 * hit
    audio = audio[:, : round(2.56 * RATE_HZ)]  # breaks off while the last hit sounds
    instrument = one(Transcription(empty_store), "drums", source(audio))
    assert (instrument.name, instrument.program, instrument.is_drum) == ("Drums", 0, True)
    assert all(27 <= note.pitch <= 87 for note in instrument.notes)
    onsets_s = np.array([note.start_s for note in instrument.notes])
    for start_s in (0.5, 1.5, 2.5):
        assert np.abs(onsets_s - start_s).min() < 0.05
    assert max(note.end_s for note in instrument.notes) == pytest.approx(2.56)


@pytest.mark.parametrize("stem", ["drums", "bass", "other"])
def test_a_silent_stem_gives_nothing_and_loads_nothing(empty_store, source, stem):
    residue = 1e-4 * np.random.default_rng(0).standard_normal((2, 5 * RATE_HZ))
    assert Transcription(empty_store).transcribe({stem: source(residue)}) == ()


@pytest.mark.parametrize("stems", [["bass"], ["drums", "bass", "other"]])
@pytest.mark.parametrize("n_samples", [0, 1, 100, 2000])
def test_audio_too_short_for_a_note_gives_nothing(empty_store, source, n_samples, stems):
    audio = 0.1 * np.random.default_rng(0).standard_normal((1, n_samples))
    assert Transcription(empty_store).transcribe(dict.fromkeys(stems, source(audio))) == ()


def test_a_fifth_of_a_second_can_hold_a_note(store, source):
    audio = source(0.2 * tone(48, 0.2, rate_hz=RATE_HZ)[np.newaxis])
    (note,) = one(Transcription(store), "bass", audio).notes
    assert (note.pitch, note.start_s) == (48, pytest.approx(0, abs=0.03))


def test_a_pause_full_of_residue_gives_no_notes(store, source):
    phrase = melody()
    audio = np.concatenate([phrase, 10 ** (-75 / 20) * phrase, 10 ** (-75 / 20) * phrase], axis=1)
    instrument = one(Transcription(store), "piano", source(audio))
    assert len(instrument.notes) >= 5
    assert max(note.start_s for note in instrument.notes) < 3


def test_networks_stay_loaded_for_all_stems_and_songs(store, source):
    transcription = Transcription(store)
    for stem in ("bass", "other"):
        assert transcription.transcribe({stem: source(melody())})
    shutil.rmtree(store.root)
    for stem in ("bass", "other", "kazoo"):
        assert transcription.transcribe({stem: source(melody())})


def test_a_missing_network_is_reported(empty_store, source):
    with pytest.raises(ModelMissing, match="models pull basic-pitch"):
        Transcription(empty_store).transcribe({"other": source(melody())}, transcriber=BASIC_PITCH)


def test_instruments_come_in_the_order_of_the_stems(store, source):
    audio = {stem: source(melody()) for stem in ("piano", "other", "bass")}
    assert [instrument.stem for instrument in Transcription(store).transcribe(audio)] == ["piano", "other", "bass"]


def test_a_phantom_is_no_instrument(store, source):
    stems = {"vocals": source(0.03 * melody()), "other": source(0.97 * melody())}
    (other,) = Transcription(store).transcribe(stems)
    assert (other.stem, [note.pitch for note in other.notes if note.velocity > 0.4]) == ("other", [48, 55, 52, 60, 48])


def test_an_instrument_that_was_taken_for_a_voice_is_heard_among_the_others(store, source):
    tune = organ_tune(8, RATE_HZ)[np.newaxis]
    chords = 0.1 * sum(tone(pitch, 8.0, rate_hz=RATE_HZ) for pitch in (40, 47))[np.newaxis, : tune.shape[1]]
    (other,) = Transcription(store).transcribe({"vocals": source(tune), "other": source(chords)})
    assert other.stem == "other"
    assert {69, 71, 73, 74, 76, 78} <= {note.pitch for note in other.notes}


class Dictated:
    """Writes down the same notes whatever it hears."""

    def __init__(self, *notes: Note) -> None:
        self._notes = list(notes)

    def transcribe(self, samples, rate_hz, on_progress):
        on_progress(1.0)
        return self._notes


@pytest.fixture
def bass_notes(monkeypatch):
    def write(*notes: Note) -> None:
        """From here on, every bass plays these notes."""
        monkeypatch.setitem(ROUTES, "bass", Route(lambda _: Dictated(*notes), "Electric Bass (finger)", 33))

    return write


def test_an_instrument_is_as_sure_as_its_notes_over_the_time_they_sound(empty_store, source, bass_notes):
    bass_notes(Note(40, 0.0, 2.0, 0.5, 1.0), Note(43, 2.0, 2.5, 0.5, 0.5))
    assert one(Transcription(empty_store), "bass", source(melody())).confidence == pytest.approx((2 + 0.25) / 2.5)


def test_notes_are_sorted_and_end_with_the_audio(empty_store, source, bass_notes):
    bass_notes(Note(43, 2.5, 9.0, 0.5, 0.25), Note(45, 1.0, 2.0, 0.5), Note(40, 1.0, 2.0, 0.5), Note(50, 3.0, 3.5, 0.5))
    notes = one(Transcription(empty_store), "bass", source(melody())).notes
    assert notes == (Note(40, 1.0, 2.0, 0.5), Note(45, 1.0, 2.0, 0.5), Note(43, 2.5, 3.0, 0.5, 0.25))


def test_basic_pitch_can_be_asked_for(store, source, bass_notes):
    bass_notes(Note(1, 0.0, 2.0, 0.5))
    transcription = Transcription(store)
    audio = {"bass": source(melody())}
    (auto,) = transcription.transcribe(audio)
    assert [note.pitch for note in auto.notes] == [1]
    (plain,) = transcription.transcribe(audio, transcriber=BASIC_PITCH)
    assert [note.pitch for note in plain.notes if note.velocity > 0.4] == [48, 55, 52, 60, 48]
    assert (plain.name, plain.program) == (auto.name, auto.program)


def test_an_unknown_transcriber_is_refused_with_the_choices(empty_store, source):
    with pytest.raises(UnknownTranscriber) as caught:
        Transcription(empty_store).transcribe({"bass": source(melody())}, transcriber="crystal ball")
    assert all(name in caught.value.message for name in ["crystal ball", *TRANSCRIBERS])


def test_a_phantom_is_no_instrument_whichever_transcriber_was_asked_for(store, source):
    stems = {"bass": source(0.03 * melody()), "other": source(0.97 * melody())}
    instruments = Transcription(store).transcribe(stems, transcriber=BASIC_PITCH)
    assert [instrument.stem for instrument in instruments] == ["other"]
