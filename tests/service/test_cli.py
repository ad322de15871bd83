"""The command line, run as users run it: exit codes, where output goes, and what refusals say."""

import json
from pathlib import Path

import pytest
from support.process import environment, stemscribe


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path / "data")


def test_a_key_is_created_alone_on_standard_output_listed_by_its_start_and_revoked(env: dict[str, str]) -> None:
    created = stemscribe("keys", "create", "my-app", env=env)
    assert created.returncode == 0
    [token] = created.stdout.splitlines()
    assert token.startswith("stsc_")
    assert len(token) == len("stsc_") + 48 + 8
    listed = stemscribe("keys", "list", env={**env, "COLUMNS": "200"})
    assert "my-app" in listed.stdout
    assert token[:11] in listed.stdout
    assert token not in listed.stdout
    assert token.encode() not in (Path(env["STEMSCRIBE_DATA_DIR"]) / "stemscribe.db").read_bytes()
    assert stemscribe("keys", "revoke", "my-app", env=env).returncode == 0
    again = stemscribe("keys", "revoke", "my-app", env=env)
    assert again.returncode == 1
    assert "No live key has the id or name 'my-app'" in again.stderr


def test_called_wrongly(env: dict[str, str]) -> None:
    for arguments in (["nonsense"], ["transcribe"], ["transcribe", "song.mp3"], ["keys", "create"], ["serve", "-x"]):
        ran = stemscribe(*arguments, env=env)
        assert ran.returncode == 2, arguments
        assert "Usage:" in ran.stderr
        assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("STEMSCRIBE_PORT", "many", "STEMSCRIBE_PORT has a value that cannot be used: 'many'"),
        ("STEMSCRIBE_DEVICE", "abacus", "STEMSCRIBE_DEVICE must be auto, cuda, mps or cpu, not 'abacus'."),
        ("STEMSCRIBE_ALLOW_ADDRESSES", "10.0.0.1/8", "STEMSCRIBE_ALLOW_ADDRESSES has a value that cannot be used"),
        ("STEMSCRIBE_LEASE_SECONDS", "0", "STEMSCRIBE_LEASE_SECONDS must be at least 3, not 0."),
    ],
)
def test_a_bad_setting_is_named(env: dict[str, str], name: str, value: str, message: str) -> None:
    ran = stemscribe("keys", "list", env={**env, name: value})
    assert ran.returncode == 1
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.weights
def test_several_songs_in_one_call_of_which_some_are_none(env: dict[str, str], tmp_path: Path) -> None:
    """One good file, three bad ones: the good one is done, each bad one is told, the exit code says so."""
    import soundfile as sf
    from support.audio import tone

    (tmp_path / "a").mkdir()
    good, text, empty, missing = (tmp_path / name for name in ("a/song.flac", "words.mp3", "empty.wav", "nowhere.mp3"))
    sf.write(good, tone(2.0, hz=220.0), 44_100)
    text.write_text("these are only words\n" * 50)
    empty.touch()
    songs = list(map(str, (good, text, empty, missing)))
    ran = stemscribe("midi", *songs, "-o", str(tmp_path / "out"), "--stem", "bass", "--json", env=env)
    assert ran.returncode == 1
    document = json.loads(ran.stdout)
    assert [song["file"] for song in document["songs"]] == songs
    done, *failed = document["songs"]
    assert set(done) == {"file", "durationS", "instruments", "files"}
    assert done["durationS"] == 2.0
    [bass] = done["instruments"]
    assert set(bass) == {"name", "program", "isDrum", "stem", "notes"}
    assert (bass["name"], bass["program"], bass["isDrum"], bass["stem"]) == (
        "Electric Bass (finger)",
        33,
        False,
        "bass",
    )
    assert 57 in {note["pitch"] for note in bass["notes"]}
    assert Path(done["files"]["midi"]).read_bytes().startswith(b"MThd")
    for song in failed:
        assert set(song) == {"file", "error"}
        assert song["error"]["code"] in ("unsupported_audio", "corrupt_audio", "audio_error")
    assert "text" in failed[0]["error"]["message"]
    assert "empty" in failed[1]["error"]["message"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["song"]


def test_missing_weights_that_cannot_be_had(env: dict[str, str], tmp_path: Path) -> None:
    """No hub, no npm: the command says what it tried and leaves with its own code."""
    nowhere = {
        **env,
        "STEMSCRIBE_MODELS_DIR": str(tmp_path / "models"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "PATH": "/nonexistent",
    }
    ran = stemscribe("models", "pull", "htdemucs", env=nowhere)
    assert ran.returncode == 3
    assert "npm is not installed" in ran.stderr
    assert "Traceback" not in ran.stderr
    unknown = stemscribe("models", "pull", "no-such-model", env=nowhere)
    assert unknown.returncode == 3
    assert "htdemucs" in unknown.stderr  # the names that would work


def test_doctor_names_what_is_missing(env: dict[str, str], tmp_path: Path) -> None:
    bare = stemscribe("doctor", env={**env, "STEMSCRIBE_MODELS_DIR": str(tmp_path / "none")})
    assert bare.returncode == 1
    assert "stemscribe models pull htdemucs" in bare.stdout
    for what in ("Python", "weights htdemucs", "weights basic-pitch", "ffmpeg", "device", "database"):
        assert what in bare.stdout
