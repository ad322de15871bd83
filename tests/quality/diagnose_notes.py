"""Where the note network loses notes: one stem, stems together, separation, or no separation at all.

Run from the repository root::

    python tests/quality/diagnose_notes.py FOLDER [--sets synth_gm,tracker] [--separated FOLDER] [--weights FILE]

Songs of a folder (bench_songs.py describes it) are heard in seven ways, by the network and its reader alone, without
routes, presence tests or other transcribers; onset F and onset+offset F of all pitched notes, means over songs, 50 ms.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline.transcription.note_listening import WEIGHTS_PATH, NoteListener
from pipeline.transcription.note_reading import read_notes
from pipeline.transcription.spectrum import RATE_HZ
from quality.bench_songs import Song, load_bench
from quality.listening import SEPARATED, Listener
from quality.metrics import Notes, note_array, score_notes, without_unisons

Audio = NDArray[np.float32]
PITCHED = ("bass", "vocals", "guitar", "piano", "other")
# Each way of hearing: the recordings that are written down, each the sum of some stems
TRUE = {
    "each true stem alone": [(stem,) for stem in PITCHED],
    "true bass; the true rest as one": [("bass",), PITCHED[1:]],
    "true: everything but drums as one": [PITCHED],
}
AFTER = {
    "htdemucs: bass; other+vocals": [("bass",), ("other", "vocals")],
    "htdemucs: bass; other; vocals": [("bass",), ("other",), ("vocals",)],
    "htdemucs: everything but drums as one": [("bass", "other", "vocals")],
    "nothing separated": [("bass", "other", "vocals", "drums")],
}
_SILENT_PEAK = 0.004  # -48 dB: what is left of a stem that nobody plays


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", default="synth_gm,tracker")
    parser.add_argument("--separated", type=Path, default=SEPARATED, help="where separated stems are kept")
    parser.add_argument("--weights", type=Path, default=WEIGHTS_PATH)
    arguments = parser.parse_args()
    network = NoteListener(arguments.weights)
    separating = Listener(transcriber="auto", separation_model="htdemucs", separated=arguments.separated)
    found: dict[tuple[str, str], list[dict[str, float]]] = defaultdict(list)
    for song in load_bench(arguments.folder, arguments.sets.split(",")):
        print(f"{song.set_name}/{song.name}", file=sys.stderr, flush=True)
        true = without_unisons(_true_notes(song))
        for ways, stems in ((TRUE, _audio(song.stems)), (AFTER, _audio(separating.separated_stems(song)))):
            for way, recordings in ways.items():
                notes = [note for names in recordings for note in _heard(network, stems, names)]
                scores = score_notes(true, without_unisons(note_array(notes)))
                found[way, song.set_name].append(scores)
    sets = list(dict.fromkeys(name for _, name in found))
    print(f"| heard | {' | '.join(sets)} |\n|---|{'---|' * len(sets)}")
    for way in (*TRUE, *AFTER):
        cells = []
        for name in sets:
            songs = found[way, name]
            cells.append(
                " / ".join(f"{np.mean([song[key] for song in songs]):.3f}" for key in ("onset_f", "onset_offset_f"))
            )
        print(f"| {way} | {' | '.join(cells)} |")


def _true_notes(song: Song) -> Notes:
    return note_array(tuple(note) for stem, notes in song.true.items() if stem != "drums" for note in notes)


def _audio(paths: Mapping[str, Path]) -> dict[str, Audio]:
    read = {}
    for stem, path in paths.items():
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        read[stem] = soxr.resample(samples.mean(axis=1), rate_hz, RATE_HZ)
    return read


def _heard(network: NoteListener, stems: dict[str, Audio], names: tuple[str, ...]) -> list[tuple[float, ...]]:
    having = [stems[name] for name in names if name in stems]
    if not having:
        return []
    length = max(map(len, having))
    mixed = np.sum([np.pad(samples, (0, length - len(samples))) for samples in having], axis=0, dtype=np.float32)
    if np.abs(mixed).max() < _SILENT_PEAK:
        return []
    read = (one.note for one in read_notes(network.hear(mixed)))
    return [(note.start_s, note.end_s, note.pitch, 127 * note.velocity) for note in read]


if __name__ == "__main__":
    main()
