"""The ruler: transcribes songs with known notes, scores what is found, and shows it beside the peers' figures.

Run from the repository root, or by ``make quality [BENCH=folder]``::

    python tests/quality/measure.py [FOLDER] [--protocol true,mix] [--sets a,b] [--per-song] [--write]

Without a folder the songs of our own are taken.  A folder of other music has the layout that bench_songs.py describes.
Two protocols, never to be confused: *true* stems, each written down on its own, and the *mix*, separated by us first.
metrics.py says what the figures mean.  ``--write`` keeps them in results.json and RESULTS.md, where the next run finds
what to compare with; sets and protocols that were not measured stay as they were.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from pipeline.errors import PipelineError
from pipeline.models.catalogue import CATALOGUE
from pipeline.transcription.choices import AUTO, TRANSCRIBERS
from quality.bench_songs import OWN_SONGS, BenchError, Song, load_bench
from quality.listening import SEPARATED, Heard, Listener
from quality.metrics import absent_stem_rates, instrument_share, score_song
from quality.quality_table import (
    PROTOCOLS,
    SongScores,
    Summary,
    read_results,
    song_table,
    summarise,
    tables,
    updated,
    write_results,
)
from quality.results_page import update_section

_HEADING = """## Notes

`make quality` (our own songs) and `make quality BENCH=folder` (the sets of a bench outside the repository). Means over
songs. Pitched: F, precision and recall of onsets (50 ms, 50 cents), F of onsets and ends, correlation of velocities;
*before* and *peers* give onset F / onset+offset F / velocity r. Definitions: metrics.py; peers: peers.json. Our own
songs are rendered with FluidR3, which transcribers may be fitted on: they show what changed, not how good it is."""


def main() -> None:
    """Command line."""
    arguments = _arguments()
    try:
        songs = load_bench(arguments.folder, arguments.sets)
        listener = Listener(
            transcriber=arguments.transcriber,
            separation_model=arguments.separation_model,
            separated=arguments.separated,
        )
        scored: list[SongScores] = []
        for protocol in arguments.protocol:
            wanted = [song for song in songs if (song.stems if protocol == "true" else song.is_mix)]
            for index, song in enumerate(wanted, start=1):
                progress = f"{PROTOCOLS[protocol]}, {index} of {len(wanted)}: {song.set_name}/{song.name}"
                print(progress, file=sys.stderr, flush=True)
                heard = listener.hear_true_stems(song) if protocol == "true" else listener.hear_mix(song)
                scored.append(_score(song, protocol, heard))
                if arguments.notes:
                    _write_notes(arguments.notes / protocol / song.set_name / f"{song.name}.json", heard)
        if not scored:
            raise BenchError(
                f"{arguments.folder}: no song for this protocol: from the mix needs several stems or a mix"
            )
    except (BenchError, PipelineError) as error:
        sys.exit(f"measure.py: {error}")
    _show(summarise(scored), scored, per_song=arguments.per_song, write=arguments.write)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", type=Path, nargs="?", default=OWN_SONGS, help="songs with known notes; ours by default"
    )
    parser.add_argument("--protocol", type=_list, default=list(PROTOCOLS), help="true, mix, or both (the default)")
    parser.add_argument("--sets", type=_list, default=[], help="names of sets, split by commas; all by default")
    parser.add_argument("--per-song", action="store_true", help="also every song's figures")
    parser.add_argument("--transcriber", choices=TRANSCRIBERS, default=AUTO)
    separators = [entry.name for entry in CATALOGUE.values() if entry.purpose == "separation"]
    parser.add_argument("--separation-model", choices=separators, default="htdemucs")
    parser.add_argument("--separated", type=Path, default=SEPARATED, help=f"separated stems are kept in ({SEPARATED})")
    parser.add_argument("--notes", type=Path, help="folder for the notes found, one JSON file per protocol and song")
    parser.add_argument("--write", action="store_true", help="keep the figures in results.json and RESULTS.md")
    arguments = parser.parse_args()
    unknown = set(arguments.protocol) - set(PROTOCOLS)
    if unknown:
        parser.error(f"--protocol takes {', '.join(PROTOCOLS)}, not {', '.join(unknown)}")
    if arguments.write and arguments.transcriber != AUTO:
        parser.error("--write keeps the figures of what users get by default: not with --transcriber")
    return arguments


def _list(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _score(song: Song, protocol: str, heard: Heard) -> SongScores:
    notes = heard.notes
    families = score_song(
        song.true, notes, annotated=song.annotated, complete=song.complete, velocities=song.velocities
    )
    if protocol == "mix" and not heard.listened >= {"guitar", "piano"}:  # other holds them: there is only the sum
        families = {name: scores for name, scores in families.items() if name not in ("guitar", "piano", "other")}
    absent = {}
    if song.complete:
        if song.families and "all pitched" in families:
            families["all pitched"] |= instrument_share(song.families, heard.families)
        absent = absent_stem_rates(song.true, notes, listened=heard.listened, duration_s=song.duration_s)
    return SongScores(
        song.set_name,
        song.name,
        protocol,
        families,
        absent,
        time_share=heard.elapsed_s / song.duration_s,
        cpu_share=heard.cpu_s / song.duration_s,
        sounds=song.sounds,
    )


def _write_notes(path: Path, heard: Heard) -> None:
    """The notes found, in the shape of a song's notes.json."""
    instruments = [
        {
            "name": found.name,
            "program": found.program,
            "is_drum": found.is_drum,
            "stem": found.stem,
            "notes": [
                {"pitch": note.pitch, "start": note.start_s, "end": note.end_s, "velocity": 127 * note.velocity}
                for note in found.notes
            ],
        }
        for found in heard.instruments
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"instruments": instruments}), encoding="utf-8")


def _show(summary: Summary, scored: list[SongScores], *, per_song: bool, write: bool) -> None:
    last, before = read_results()
    if per_song:
        print(song_table(scored), end="\n\n")
    print(tables(summary, last))
    if write:
        replaced = {
            name: {p: last[name][p] for p in summary[name].keys() & last[name].keys()}
            for name in summary
            if name in last
        }
        write_results(updated(last, summary), updated(before, replaced))
        update_section("notes", f"{_HEADING}\n\n{tables(*read_results())}")


if __name__ == "__main__":
    main()
