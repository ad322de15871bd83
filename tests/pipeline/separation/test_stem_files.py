"""Stems as files: of the input's rate, length and channels, and adding up to it."""

import errno
import tracemalloc

import numpy as np
import pytest
import soundfile as sf
from scipy.signal import butter, sosfiltfilt

from pipeline.audio.encode import AudioWriter, quantise
from pipeline.audio.source import BLOCK_SAMPLES
from pipeline.errors import Cancelled, ModelError
from pipeline.progress import unheard
from pipeline.separation.separator import Separator
from pipeline.separation.stems import separate

SHARES = (0.5, 0.25, 0.125)
RATES_HZ = [8000, 22_050, 44_100, 48_000, 96_000]


def noise(n_samples, channels=2, peak=0.5):
    """Noise with an offset, a different one in each channel: float32, shape (channels, n)."""
    values = np.random.default_rng(n_samples).uniform(-peak, peak, (channels, n_samples))
    return (values + 0.1 * peak * np.arange(1, channels + 1)[:, np.newaxis]).astype(np.float32)


def integers(path, bits):
    """The samples in a file as they are stored: int32, shape (channels, n)."""
    samples, _rate = sf.read(path, dtype="int32", always_2d=True)
    return samples.T >> (32 - bits)


def no_room(_file, _samples):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def separator(shares, model_of):
    return Separator(model_of(shares(*SHARES)), device="cpu", precision="fp32")


@pytest.fixture
def run(tmp_path):
    """Separates into the folder ``out``; gives the stems by name."""
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    out.mkdir()
    scratch.mkdir()

    def run(mix, separator, *, only=None, residual=False, on_progress=unheard):
        made = separate(mix, separator, out, only=only, residual=residual, scratch=scratch, on_progress=on_progress)
        assert sorted(out.iterdir()) == sorted(stem.path for stem in made.stems)
        return {stem.name: stem for stem in made.stems}

    return run


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_files_are_of_the_rate_length_and_channels_of_the_input(separator, run, source, rate_hz, channels, bits):
    mix = source(noise(30_011, channels), rate_hz, bits)

    stems = run(mix, separator)

    assert list(stems) == ["drums", "vocals", "other"]
    for name, stem in stems.items():
        info = sf.info(stem.path)
        assert (info.frames, info.samplerate, info.channels) == (30_011, rate_hz, channels)
        assert (info.format, info.subtype) == ("FLAC", f"PCM_{bits}")
        assert (stem.n_samples, stem.rate_hz, stem.duration_s) == (30_011, rate_hz, 30_011 / rate_hz)
        assert stem.path.name == f"{name}.flac"


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("at", [0, 3001, 9_990])
def test_an_impulse_stays_where_it_is(separator, run, source, rate_hz, at):
    samples = np.zeros((2, 10_011), dtype=np.float32)
    samples[:, at] = 0.9
    stems = run(source(samples, rate_hz), separator)
    for stem in stems.values():
        heard = np.abs(integers(stem.path, 16))
        assert heard.argmax(axis=1).tolist() == [at, at]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_what_both_rates_can_hold_comes_back_in_phase_and_level(separator, run, source, rate_hz):
    low = sosfiltfilt(butter(8, 0.25 * min(rate_hz, 44_100), fs=rate_hz, output="sos"), noise(30_000))
    fade = np.hanning(low.shape[1])
    low = fade * (low - (fade * low).mean(axis=1, keepdims=True) / fade.mean())  # no offset: it would ring at both ends
    mix = source(low.astype(np.float32), rate_hz, bits=24)

    stems = run(mix, separator)

    for stem, share in zip(stems.values(), SHARES, strict=True):
        error = integers(stem.path, 24) / (1 << 23) - share * low
        assert np.abs(error).max() < 1e-3 * np.abs(low).max()


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [22_050, 44_100, 96_000])
@pytest.mark.parametrize(("only", "rest"), [("vocals", "instrumental"), ("drums", "no_drums"), ("other", "no_other")])
def test_one_stem_and_the_rest_are_the_input_exactly(separator, run, source, rate_hz, channels, bits, only, rest):
    samples = noise(30_011, channels)
    stems = run(source(samples, rate_hz, bits), separator, only=only)

    assert list(stems) == [only, rest]
    total = sum(integers(stem.path, bits) for stem in stems.values())
    assert np.array_equal(total, quantise(samples, bits))
    assert integers(stems[only].path, bits).any()


@pytest.mark.parametrize("only", ["drums", "vocals", "other"])
def test_one_stem_is_the_same_as_among_all(separator, run, source, tmp_path, only):
    mix = source(noise(30_011), 48_000)
    among_all = run(mix, separator)[only].path.read_bytes()
    for path in (tmp_path / "out").iterdir():
        path.unlink()
    assert run(mix, separator, only=only)[only].path.read_bytes() == among_all


@pytest.mark.parametrize("only", [None, "vocals", "drums"])
@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_stems_and_residual_are_the_input_exactly(separator, run, source, rate_hz, bits, only):
    samples = noise(30_011)
    stems = run(source(samples, rate_hz, bits), separator, residual=True, only=only)

    made = {None: ["drums", "vocals", "other"], "vocals": ["vocals", "instrumental"], "drums": ["drums", "no_drums"]}
    assert list(stems) == [*made[only], "residual"]
    total = sum(integers(stem.path, bits) for stem in stems.values())
    assert np.array_equal(total, quantise(samples, bits))
    assert integers(stems["residual"].path, bits).any() == (only is None)  # the rest leaves nothing over


@pytest.mark.parametrize("n_samples", [1, 2, 8820])
@pytest.mark.parametrize("rate_hz", [8000, 44_100, 96_000])
def test_the_shortest_files_keep_their_length(separator, run, source, rate_hz, n_samples):
    samples = noise(n_samples)
    stems = run(source(samples, rate_hz), separator, only="vocals")

    total = sum(integers(stem.path, 16) for stem in stems.values())
    assert np.array_equal(total, quantise(samples, 16))
    assert {stem.n_samples for stem in stems.values()} == {n_samples}


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_what_does_not_move_stays_in_the_residual(shares, model_of, run, source, level):
    separator = Separator(model_of(shares(*SHARES)), device="cpu")
    samples = np.full((2, 30_011), level, dtype=np.float32)

    stems = run(source(samples), separator, residual=True)

    residual = stems.pop("residual")
    assert np.array_equal(integers(residual.path, 16), quantise(samples, 16))
    assert (residual.peak, residual.rms) == pytest.approx((level, level))
    for stem in stems.values():
        assert not integers(stem.path, 16).any()
        assert (stem.peak, stem.rms) == (0.0, 0.0)


def test_an_input_beyond_full_scale_is_cut_off_there(shares, model_of, run, source):
    separator = Separator(model_of(shares(0.0, 1.0, 0.0)), device="cpu", precision="fp32")
    at = np.arange(30_000) / 44_100
    samples = np.tile(1.5 * np.sin(2 * np.pi * 441 * at), (2, 1)).astype(np.float32)

    stems = run(source(samples), separator, only="vocals")

    vocals = integers(stems["vocals"].path, 16)
    assert (vocals.min(), vocals.max()) == (-32_768, 32_767)
    assert np.abs(vocals - quantise(samples, 16)).max() <= 1
    assert stems["vocals"].peak == pytest.approx(1.5, abs=1e-3)
    assert np.abs(integers(stems["instrumental"].path, 16)).max() <= 1


def test_a_difference_beyond_full_scale_is_cut_off_there(shares, model_of, run, source):
    separator = Separator(model_of(shares(0.0, -1.0, 0.0)), device="cpu", precision="fp32")
    at = np.arange(30_000) / 44_100
    samples = np.tile(0.8 * np.sin(2 * np.pi * 441 * at), (2, 1)).astype(np.float32)

    stems = run(source(samples), separator, only="vocals", residual=True)

    instrumental = integers(stems["instrumental"].path, 16)
    assert (instrumental.min(), instrumental.max()) == (-32_768, 32_767)
    assert stems["instrumental"].peak == pytest.approx(1.6, abs=1e-3)
    total = sum(integers(stem.path, 16) for stem in stems.values())
    assert np.array_equal(total, quantise(samples, 16))  # what was cut off is in the residual


def test_peak_and_rms_are_those_of_the_samples(separator, run, source):
    stems = run(source(noise(30_011), bits=24), separator, residual=True)
    for stem in stems.values():
        stored = integers(stem.path, 24) / (1 << 23)
        assert stem.peak == pytest.approx(np.abs(stored).max(), abs=1e-6)
        assert stem.rms == pytest.approx(np.sqrt(np.square(stored).mean()), abs=1e-6)


@pytest.mark.parametrize("done", [0, 1, 3, 4])
def test_cancelling_leaves_no_files(separator, run, source, tmp_path, done):
    def cancel(fraction):
        if fraction == done / 4:
            raise Cancelled("Enough.")

    mix = source(noise(4 * 6615))  # four segments, a stride of 6615 samples apart
    with pytest.raises(Cancelled, match="Enough"):
        run(mix, separator, on_progress=cancel)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("block", [0, 1, 2])
def test_cancelling_while_it_is_resampled_leaves_nothing(separator, run, source, tmp_path, block):
    seen = []

    def cancel(fraction):
        seen.append(fraction)
        if len(seen) > block:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled, match="Enough"):
        run(source(noise(2 * BLOCK_SAMPLES), 48_000), separator, on_progress=cancel)
    assert seen == [0.0, 0.01, 0.02][: block + 1]
    assert list((tmp_path / "out").iterdir()) == list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_progress_never_falls_and_ends_at_one(separator, run, source, rate_hz):
    seen = []
    run(source(noise(2 * BLOCK_SAMPLES), rate_hz), separator, on_progress=seen.append)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)


def test_a_song_whose_files_cannot_be_written_leaves_nothing_in_others_batches(
    shares, model_of, run, source, monkeypatch
):
    told = []
    model = model_of(shares(*SHARES))
    separator = Separator(model, device="cpu", precision="fp32", batch_size=4, on_batch=lambda *fill: told.append(fill))
    with monkeypatch.context() as disk:
        disk.setattr(AudioWriter, "write", no_room)
        with pytest.raises(OSError, match="No space left") as error:
            run(source(noise(60_000)), separator)
    assert error.tb  # whoever holds the error holds the frames in which the song was separated
    run(source(noise(5000)), separator)
    assert told == [(4, 4), (1, 4)]


def test_cancelling_leaves_the_files_of_before(separator, run, source, tmp_path):
    mix = source(noise(30_000))
    before = {name: stem.path.read_bytes() for name, stem in run(mix, separator).items()}

    def cancel(fraction):
        if fraction == 1.0:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        run(source(noise(20_000)), separator, on_progress=cancel)
    assert {path.stem: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_files_of_the_same_name_are_replaced(separator, run, source, tmp_path):
    (tmp_path / "out" / "drums.flac").write_bytes(b"old")
    stems = run(source(noise(30_000)), separator)
    assert sf.info(stems["drums"].path).frames == 30_000


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_the_same_song_gives_the_same_bytes(separator, run, source, rate_hz):
    mix = source(noise(30_011), rate_hz)
    first = {name: stem.path.read_bytes() for name, stem in run(mix, separator, residual=True).items()}
    again = {name: stem.path.read_bytes() for name, stem in run(mix, separator, residual=True).items()}
    assert first == again


def test_a_stem_that_the_model_lacks_is_refused(shares, model_of, run, source, tmp_path):
    separator = Separator(model_of(shares(0.5, 0.25), sources=("drums", "bass")), device="cpu")
    with pytest.raises(ModelError, match="'vocals', only drums, bass"):
        run(source(noise(100)), separator, only="vocals")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_memory_does_not_grow_with_the_length(shares, model_of, run, source, rate_hz):
    separator = Separator(model_of(shares(*SHARES), segment_samples=100_000), device="cpu", precision="fp32")

    def peak_bytes(n_samples):
        mix = source(noise(n_samples), rate_hz)
        tracemalloc.start()
        try:
            run(mix, separator, residual=True)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_bytes(300_000)  # makes the network ready
    assert peak_bytes(1_500_000) < 1.02 * peak_bytes(600_000)
