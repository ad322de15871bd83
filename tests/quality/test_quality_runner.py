"""The ruler from end to end, its tables, and the page that they are written to."""

import json
import sys

import numpy as np
import pytest
import soundfile

from quality.measure import main
from quality.quality_table import PEERS, PROTOCOLS, SongScores, read_results, summarise, tables, updated, write_results
from quality.results_page import update_section

RATE_HZ = 44_100
PITCHES = (57, 60, 64, 69)
SCORES = {"true": 100, "found": 90, "onset_f": 0.5, "onset_precision": 0.6, "onset_recall": 0.4, "onset_offset_f": 0.3}


def scores(name, sounds="", **changes):
    of_song = {"set_name": "synth_gm", "families": {"bass": SCORES | changes}, "absent": {"vocals": 2.0}}
    return SongScores(song=name, protocol="mix", time_share=0.1, cpu_share=0.2, sounds=sounds, **of_song)


def test_tables_show_means_beside_the_last_figures_and_the_peers():
    before = summarise([scores("one", onset_f=0.25)])
    text = tables(summarise([scores("one"), scores("two", onset_f=0.7)]), before)
    row = next(line for line in text.splitlines() if "| bass" in line)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    chain = next(peer for peer in json.loads(PEERS.read_text(encoding="utf-8")) if peer["name"] == "chain")
    assert cells[:10] == ["synth_gm", "bass", "2", ".600", ".600", ".400", ".300", "-", "-", ".250 / .300"]
    assert cells[10].startswith(f"chain .{1000 * chain['figures']['synth_gm']['bass']['onset_f']:.0f} / ")
    assert "| synth_gm | 2.00   | 2.00   | 0.1000          | 0.2000" in text
    assert "true stems" not in text


def test_songs_with_sounds_that_may_be_fitted_on_are_shown_apart():
    summary = summarise([scores("one", sounds="fluid"), scores("two", sounds="real", onset_f=0.7)])
    means = {name: protocols["mix"]["families"]["bass"]["onset_f"] for name, protocols in summary.items()}
    assert means == {"synth_gm": pytest.approx(0.6), "synth_gm, fitted sounds": 0.5, "synth_gm, other sounds": 0.7}
    assert summarise([scores("one", sounds="fluid")]).keys() == {"synth_gm"}


def test_results_keep_what_was_not_measured(tmp_path):
    path = tmp_path / "results.json"
    assert read_results(path) == ({}, {})
    old = summarise([scores("one")]) | {"other": {"true": {"songs": 1}}}
    new = summarise([scores("one", onset_f=2 / 3)])
    write_results(updated(old, new), old, path)
    measured, before = read_results(path)
    assert measured["other"] == {"true": {"songs": 1}}
    assert measured["synth_gm"]["mix"]["families"]["bass"]["onset_f"] == 0.6667
    assert before["synth_gm"]["mix"]["families"]["bass"]["onset_f"] == 0.5


def test_peers_are_of_known_protocols():
    peers = json.loads(PEERS.read_text(encoding="utf-8"))
    assert {peer["protocol"] for peer in peers} == set(PROTOCOLS)
    figures = [figure for peer in peers for of_set in peer["figures"].values() for f in of_set.values() for figure in f]
    assert set(figures) <= {
        "onset_f",
        "onset_offset_f",
        "velocity_r",
        "five",
        "kick",
        "snare",
        "hi-hat",
        "toms",
        "cymbals",
    }


def test_a_section_of_the_page_is_replaced_and_the_rest_stays(tmp_path):
    page = tmp_path / "RESULTS.md"
    update_section("notes", "## Notes\n\nold", page)
    update_section("key", "## Key\n\n.9 \\1", page)
    page.write_text(page.read_text(encoding="utf-8").replace("## Key", "A remark.\n\n## Key"), encoding="utf-8")
    update_section("notes", "## Notes\n\nnew", page)
    once = page.read_text(encoding="utf-8")
    update_section("notes", "## Notes\n\nnew\n", page)
    assert page.read_text(encoding="utf-8") == once
    assert "old" not in once
    assert once.index("new") < once.index("A remark.") < once.index(".9 \\1")
    with pytest.raises(ValueError, match="not a section name"):
        update_section("notes -->", "", page)


def test_a_folder_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["measure.py", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit, match="nowhere: no such folder"):
        main()


def test_what_users_do_not_get_by_default_is_not_kept(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["measure.py", "--transcriber", "basic-pitch", "--write"])
    with pytest.raises(SystemExit):
        main()
    assert "not with --transcriber" in capsys.readouterr().err


def tune():
    """Four plucked notes of half a second each, and their truth."""
    at_s = np.arange(RATE_HZ // 2) / RATE_HZ
    plucks = []
    for pitch in PITCHES:
        hz = 440 * 2 ** ((pitch - 69) / 12)
        partials = sum(np.sin(2 * np.pi * hz * k * at_s) / k**1.5 for k in range(1, 8))
        plucks.append(0.2 * partials * np.exp(-4 * at_s) * np.minimum(1, (0.45 - at_s) * 100).clip(0))
    silence = np.zeros(RATE_HZ // 2)
    times = [(p, 0.5 * i) for i, p in enumerate(PITCHES, start=1)]
    truth = [{"pitch": p, "start": start_s, "end": start_s + 0.45, "velocity": 90} for p, start_s in times]
    return np.concatenate([silence, *plucks, silence]), truth


@pytest.mark.weights
def test_songs_are_written_down_in_both_protocols_and_scored(tmp_path, monkeypatch, capsys):
    audio, truth = tune()
    song = tmp_path / "bench" / "made" / "tune"
    separated = tmp_path / "separated" / "made" / "tune"
    for folder in (song / "stems", separated):
        folder.mkdir(parents=True)
    soundfile.write(song / "stems" / "piano.flac", audio, RATE_HZ)
    soundfile.write(song / "mix.flac", audio, RATE_HZ)
    for stem in ("drums", "bass", "other", "vocals"):
        soundfile.write(separated / f"{stem}.flac", audio if stem == "other" else 0 * audio, RATE_HZ)
    piano = {"name": "Piano", "program": 0, "is_drum": False, "stem": "piano", "notes": truth}
    content = {"meta": {"duration": len(audio) / RATE_HZ}, "instruments": [piano]}
    (song / "notes.json").write_text(json.dumps(content), encoding="utf-8")
    folders = ["--separated", str(tmp_path / "separated"), "--notes", str(tmp_path / "notes")]
    monkeypatch.setattr(sys, "argv", ["measure.py", str(tmp_path / "bench"), "--per-song", *folders])
    main()
    out, progress = capsys.readouterr()
    assert "| true     | made | tune | piano       | 1.000 /" in out
    assert "| mix      | made | tune | harmonic    | 1.000 /" in out
    assert "| mix      | made | tune | other" not in out
    assert "from the mix, 1 of 1: made/tune" in progress
    rows = [line.split("|") for line in out.splitlines() if line.startswith("| made |")]
    assert [cell.strip() for cell in rows[-1][2:5]] == ["0.00", "0.00", "0.00"]
    for protocol, stem in (("true", "piano"), ("mix", "other")):
        found = json.loads((tmp_path / "notes" / protocol / "made" / "tune.json").read_text(encoding="utf-8"))
        (instrument,) = found["instruments"]
        assert instrument["stem"] == stem
        assert set(PITCHES) <= {note["pitch"] for note in instrument["notes"]}
