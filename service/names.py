"""Names of files that strangers chose, made fit for people, links and file systems."""

from pathlib import PurePosixPath

_MAX_NAME_BYTES = 200  # in UTF-8; file systems take 255, and people's tools add to a name
_MADE_UP = "audio"
_MAX_SUFFIX_BYTES = 16  # what is longer after the last dot is no suffix


def clean_name(*candidates: str | None) -> str:
    """The first given name that is one: its last path part, without control characters, of at most 200 bytes in UTF-8.

    A longer one loses its end, but not its suffix.
    """
    for candidate in candidates:
        name = PurePosixPath((candidate or "").replace("\\", "/")).name
        name = "".join(char for char in name if char.isprintable()).strip()
        if name.strip("."):  # "." and ".." would change the path of the file's link
            return _shortened(name)
    return _MADE_UP


def with_suffix(name: str, suffix: str) -> str:
    """A name that :func:`clean_name` had to make up, with the suffix of what the file is; any other as it is."""
    return name + suffix if name == _MADE_UP else name


def converted_name(name: str, suffix: str) -> str:
    """The name of a file that is made of another, with a suffix of its own."""
    return clean_name(PurePosixPath(name).stem + suffix)


def clean_folder(path: str) -> str:
    """A folder that a stranger chose, as a label: relative, with no ``..`` and no control characters; may be empty."""
    parts = ("".join(filter(str.isprintable, part)).strip() for part in path.replace("\\", "/").split("/"))
    return "/".join(part for part in parts if part.strip("."))


def _shortened(name: str) -> str:
    if len(name.encode()) <= _MAX_NAME_BYTES:
        return name
    suffix = PurePosixPath(name).suffix.encode()
    if len(suffix) > _MAX_SUFFIX_BYTES:
        suffix = b""
    kept = name.encode()[: _MAX_NAME_BYTES - len(suffix)].decode(errors="ignore")  # a character cut in two goes
    return kept + suffix.decode()
