"""Soundfonts are optional: fetched where they can be had, and never a reason not to work."""

import dataclasses
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.models.store import ModelStore
from service.cli import models as models_cli
from service.cli.models import ensure_soundfont
from service.cli.models import models as models_command
from service.doctor import examine
from service.models import SOUNDFONTS, models_of_queues, needed_models
from service.settings import Settings


@pytest.fixture
def away(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A machine without apt, and an empty cache."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return dataclasses.replace(settings, models_dir=tmp_path / "cache")


def test_none_is_needed(settings: Settings) -> None:
    assert not set(SOUNDFONTS) & {*needed_models(settings), *models_of_queues(settings, ["separation", "midi", "io"])}


def test_where_the_best_cannot_be_had_the_next_one_is_taken(away: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    ensure_soundfont(away)
    assert [ModelStore(away.models_dir).status(name).present for name in SOUNDFONTS] == [False, True]
    said = capsys.readouterr().err
    assert "fluidr3-mono: done without." in said
    assert "apt-get is not installed" in said
    assert "timgm6mb: fetched and verified" in said
    ensure_soundfont(away)
    assert capsys.readouterr().err == ""  # with one of them here, no start asks the network again


def test_where_none_can_be_had_it_goes_on(away: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    away.models_dir.write_text("a file where the folder should be")
    ensure_soundfont(away)
    said = capsys.readouterr().err
    assert said.count("done without.") == 2
    assert "No soundfont: notes will be played by a plain synthesiser." in said


def test_pull_asks_for_the_best_again(away: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_cli, "load_settings", lambda: away)
    monkeypatch.setattr(models_cli, "needed_models", lambda _: ())
    ensure_soundfont(away)
    ran = CliRunner().invoke(models_command, ["pull"])
    assert ran.exit_code == 0
    assert "fluidr3-mono: done without." in ran.stderr
    assert "timgm6mb: already here" in ran.stderr
    named = CliRunner().invoke(models_command, ["pull", "fluidr3-mono"])
    assert named.exit_code != 0  # who names one wants that one


async def test_doctor_says_which_it_is(away: Settings) -> None:
    async def found() -> tuple[bool, str]:
        return next((one.good, one.detail) for one in await examine(away) if one.what == "soundfont")

    good, detail = await found()
    assert good
    assert "stemscribe models pull" in detail
    assert "plain synthesiser" in detail
    ensure_soundfont(away)
    assert await found() == (True, f"timgm6mb, {away.models_dir / 'timgm6mb' / 'TimGM6mb.sf2'}")
