"""``separate --two-stems``, with and without a stem's name."""

import click
import pytest

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
