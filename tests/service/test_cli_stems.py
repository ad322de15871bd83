"""``separate --two-stems``, with and without a stem's name."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from service.cli.songs import separate


@pytest.mark.parametrize(
    ("arguments", "only"),
    [
        ([], None),
        (["--two-stems"], "vocals"),
        (["--two-stems", "drums"], "drums"),
        (["--two-stems=guitar"], "guitar"),
        (["--two-stems", "--residual"], "vocals"),
    ],
)
def test_the_stem_may_be_named(arguments: list[str], only: str | None) -> None:
    with separate.make_context("separate", ["song.mp3", "-o", "out", *arguments]) as context:
        assert context.params["only"] == only


def test_another_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(click.BadParameter, match="'drums', 'bass', 'other', 'vocals', 'guitar', 'piano'"):
        separate.make_context("separate", ["-o", "out", "--two-stems", "song.mp3"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--two-stems", "piano"],
            "'--two-stems': 'piano' is no stem of htdemucs, which has drums, bass, other, vocals",
        ),
        (["--two-stems", "piano"], "with --model: htdemucs_6s."),
        (["--model", "nope"], "'-n' / '--model': 'nope' is not one of 'htdemucs'"),
        (["--device", "abacus"], "'--device': 'abacus' is not one of 'auto', 'cuda', 'mps', 'cpu'"),
    ],
)
def test_what_cannot_be_had_is_a_wrong_call(arguments: list[str], message: str, tmp_path: Path) -> None:
    ran = CliRunner(env={"COLUMNS": "300"}).invoke(separate, ["song.mp3", "-o", str(tmp_path / "out"), *arguments])
    assert ran.exit_code == 2
    assert message in ran.stderr
    assert not (tmp_path / "out").exists()
