"""Names that strangers chose."""

import pytest

from service.names import clean_folder, clean_name, with_suffix


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("song.mp3", "song.mp3"),
        ("../../etc/passwd", "passwd"),
        ("C:\\music\\song.mp3", "song.mp3"),
        ("a\x00b\n\u202e.mp3", "ab.mp3"),
        ("..", "audio"),
        ("folder/..", "audio"),
        ("\udc80", "audio"),
        ("", "audio"),
        (None, "audio"),
        ("x" * 196 + ".mp3", "x" * 196 + ".mp3"),
        ("x" * 1500 + ".mp3", "x" * 196 + ".mp3"),
        ("x" * 1500, "x" * 200),
        ("曲" * 200 + ".flac", "曲" * 65 + ".flac"),
        ("x." + "曲" * 200, "x." + "曲" * 66),
    ],
)
def test_a_name_is_cleaned_and_shortened(name: str | None, cleaned: str) -> None:
    assert clean_name(name) == cleaned
    assert len(cleaned.encode()) <= 200


def test_the_first_that_is_a_name_is_taken() -> None:
    assert clean_name(None, "", "..", "one.mp3", "two.mp3") == "one.mp3"


def test_only_a_name_that_was_made_up_gets_a_suffix() -> None:
    assert with_suffix(clean_name(None), ".flac") == "audio.flac"
    assert with_suffix(clean_name("song"), ".flac") == "song"


@pytest.mark.parametrize(
    ("folder", "label"),
    [("songs/mine", "songs/mine"), ("../../x", "x"), ("/a//b/", "a/b"), ("a\\..\\b\n", "a/b"), ("..", ""), ("", "")],
)
def test_a_folder_becomes_a_label(folder: str, label: str) -> None:
    assert clean_folder(folder) == label
