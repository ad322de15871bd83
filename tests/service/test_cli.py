"""The command line, run as users run it: exit codes, where output goes, and what refusals say."""

import importlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.models.store import ModelStore
from service.cli.main import COMMANDS
from service.cli.songs import _folders
from service.demo.__main__ import stop
from support.process import environment, stemscribe

ROOT = Path(__file__).parents[2]


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


def test_help_names_every_command_and_waits_for_no_signal_library(env: dict[str, str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "service.cli", "--help"]
    ran = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    described = ran.stdout.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in described if line] == list(COMMANDS)
    assert not {"numpy", "sqlalchemy", "torch"} & {line.split()[-1] for line in ran.stderr.splitlines()}
    for name, (module, line) in COMMANDS.items():
        command = getattr(importlib.import_module(module), name)
        assert command.name == name
        assert command.help.startswith(line.removesuffix("."))


def test_called_wrongly(env: dict[str, str]) -> None:
    for arguments in (
        ["nonsense"], ["transcribe"], ["transcribe", "song.mp3"], ["keys", "create"], ["serve", "-x"],
        ["serve", "--port", "65536"],
    ):  # fmt: skip
        ran = stemscribe(*arguments, env=env)
        assert ran.returncode == 2, arguments
        assert "Usage:" in ran.stderr
        assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("STEMSCRIBE_PORT", "many", "STEMSCRIBE_PORT must be a whole number, not 'many'."),
        ("STEMSCRIBE_DEVICE", "abacus", "STEMSCRIBE_DEVICE must be auto, cuda, mps or cpu, not 'abacus'."),
        ("STEMSCRIBE_ALLOW_ADDRESSES", "10.0.0.1/8", "STEMSCRIBE_ALLOW_ADDRESSES has a value that cannot be used"),
        ("STEMSCRIBE_SECRET", "short", "STEMSCRIBE_SECRET must have at least 16 bytes."),
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
    music = {"tempo", "tempoConfidence", "timeSignature", "key", "keyConfidence"}
    assert set(done) == {"file", "durationS", *music, "instruments", "files"}
    assert {name: done[name] for name in music} == dict.fromkeys(music)  # one long note has none of these
    assert done["durationS"] == 2.0
    [bass] = done["instruments"]
    assert set(bass) == {"name", "program", "isDrum", "stem", "confidence", "notes"}
    assert 0 < bass["confidence"] <= 1
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


@pytest.mark.parametrize("command", ["serve", "transcribe", "separate"])
def test_a_model_that_does_not_separate_is_refused_at_the_start(command: str, env: dict[str, str]) -> None:
    arguments = [] if command == "serve" else ["song.mp3", "-o", "out"]
    ran = stemscribe(command, *arguments, env={**env, "STEMSCRIBE_SEPARATION_MODEL": "basic-pitch"})
    assert ran.returncode == 1
    assert "must be one of htdemucs, htdemucs_6s, htdemucs_ft, not 'basic-pitch'." in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_misspelt_variable_is_told_once(env: dict[str, str]) -> None:
    ran = stemscribe("keys", "list", env={**env, "STEMSCRIBE_PROT": "9000", "STEMSCRIBE_CONFIG": "nowhere.toml"})
    assert ran.returncode == 0
    assert ran.stderr.count("STEMSCRIBE_PROT is no setting") == 1
    assert "STEMSCRIBE_CONFIG" not in ran.stderr


def test_every_song_has_a_folder_of_its_own_inside_the_output_folder() -> None:
    def names(*songs: str) -> list[str]:
        return [str(folder.relative_to("out")) for folder in _folders(tuple(map(Path, songs)), Path("out"))]

    assert names("a.mp3", "b/a.mp3", "a-2.mp3", "A.wav") == ["a", "a-2", "a-2-2", "A-3"]
    assert names("-x.mp3", "two words.flac") == ["-x", "two words"]
    assert names("..mp3", "...mp3", "..", "/", ".mp3", ". .mp3") == [
        "song",
        "song-2",
        "song-3",
        "song-4",
        "mp3",
        "song-5",
    ]


def test_an_output_folder_that_cannot_be_made(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for command in ("midi", "separate", "transcribe"):
        ran = stemscribe(command, "song.mp3", "-o", str(tmp_path / "file" / "out"), env=env)
        assert ran.returncode == 1
        assert f"The output folder {tmp_path / 'file' / 'out'} cannot be written: Not a directory." in ran.stderr
        assert "Traceback" not in ran.stderr


@pytest.mark.weights
def test_a_song_whose_name_begins_with_a_dash(env: dict[str, str], tmp_path: Path) -> None:
    import soundfile as sf

    from support.audio import tone

    sf.write(tmp_path / "-v.flac", tone(1.0, hz=220.0), 44_100)
    command = [sys.executable, "-m", "service.cli", "midi", "-o", "out", "--", "-v.flac"]
    subprocess.run(command, env={**env, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "out" / "-v" / "song.mid").is_file()


@pytest.mark.weights
def test_ctrl_c_leaves_nothing_half_written(env: dict[str, str], tmp_path: Path) -> None:
    import soundfile as sf

    from support.audio import tone

    sf.write(tmp_path / "long.flac", tone(120.0), 44_100)
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "transcribe", str(tmp_path / "long.flac"), "-o", str(out)],
        env={**env, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
        # Tests that were started in the background, by a shell without job control, hand on that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 60
        while not list(out.glob("long/.unfinished-*/*")):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert list(out.iterdir()) == []
    assert list(tmp_path.glob("stemscribe-*")) == []  # the scratch folder


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


def test_doctor_makes_nothing_and_names_a_data_folder_that_cannot_be_made(env: dict[str, str], tmp_path: Path) -> None:
    ran = stemscribe("doctor", env={**env, "STEMSCRIBE_MODELS_DIR": str(tmp_path / "none")})
    assert f"data folder: {tmp_path / 'data'}: not created yet" in ran.stdout
    assert "stemscribe.db: not created yet" in ran.stdout
    assert list(tmp_path.iterdir()) == []
    assert stemscribe("keys", "create", "x", env=env).returncode == 0
    assert "stemscribe.db: at the newest migration" in stemscribe("doctor", env=env).stdout
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "link")
    for folder in (tmp_path / "file" / "data", Path("/proc/x"), tmp_path / "link" / "data"):
        for command in (["doctor"], ["keys", "list"], ["serve", "--port", "0"]):
            ran = stemscribe(*command, env={**env, "STEMSCRIBE_DATA_DIR": str(folder)})
            assert ran.returncode == 1
            assert str(folder) in ran.stdout + ran.stderr
            assert "STEMSCRIBE_DATA_DIR" in ran.stdout + ran.stderr
            assert "Traceback" not in ran.stderr


def test_the_demo_says_why_there_is_no_key(env: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service.demo", "-o", str(tmp_path / "out")]
    wrong = {**env, "STEMSCRIBE_DEVICE": "abacus", "COLUMNS": "200"}
    ran = subprocess.run(command, env=wrong, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "STEMSCRIBE_DEVICE must be auto, cuda, mps or cpu, not 'abacus'." in ran.stdout


def test_the_demo_kills_a_service_that_does_not_stop() -> None:
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        stop(process, within_s=0.2)
        assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("given", [{"PIP_FIND_LINKS": "/one /two"}, {"UV_FIND_LINKS": "/one,/two"}])
def test_make_passes_every_wheel_folder_on(given: dict[str, str], env: dict[str, str]) -> None:
    own = {name: value for name, value in env.items() if not name.endswith("_FIND_LINKS")}
    command = ["make", "--dry-run", "--always-make", ".venv/.installed"]
    ran = subprocess.run(command, env={**own, **given}, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--find-links /one --find-links /two torch" in ran.stdout


def test_make_help_lists_the_targets(env: dict[str, str]) -> None:
    ran = subprocess.run(["make", "help"], env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "\ndemo      a song through separation and MIDI" in ran.stdout


def test_a_stem_is_one_of_those_there_are_and_no_path(env: dict[str, str], tmp_path: Path) -> None:
    ran = stemscribe("midi", "song.wav", "-o", str(tmp_path / "out"), "--stem", "../../evil", env=env)
    assert ran.returncode == 2
    assert "'../../evil' is not one of" in ran.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.weights
def test_damaged_weights_are_told_before_anything_is_done_with_them(
    env: dict[str, str], tmp_path: Path, model_store: ModelStore
) -> None:
    whole = model_store.pull("basic-pitch")[0]
    damaged = tmp_path / "models" / "basic-pitch" / whole.name
    damaged.parent.mkdir(parents=True)
    content = bytearray(whole.read_bytes())
    content[1000:1100] = bytes(100)
    damaged.write_bytes(content)
    env = {**env, "STEMSCRIBE_MODELS_DIR": str(tmp_path / "models")}
    for command in (
        ["midi", "song.wav", "-o", str(tmp_path / "out")],
        ["models", "pull", "basic-pitch"],
        ["models", "verify", "basic-pitch"],
    ):
        ran = stemscribe(*command, env=env)
        assert ran.returncode == 3, command
        assert f"{damaged} is damaged" in ran.stderr
        assert "stemscribe models pull basic-pitch" in ran.stderr
    unchecked = stemscribe("models", "verify", env={**env, "STEMSCRIBE_MODELS_DIR": str(tmp_path / "none")})
    assert unchecked.returncode == 3
