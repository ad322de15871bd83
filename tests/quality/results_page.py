"""``RESULTS.md``: one page of measured figures, each section written by the command that measures it.

A section stands between two comments that name it, so that a command replaces its own and leaves the others, and what
people write around them, alone.
"""

import re
from pathlib import Path

PAGE = Path(__file__).with_name("RESULTS.md")
_HEAD = "# Measured quality\n\nEvery section is written by the command it names; see README.md, Quality.\n"


def update_section(name: str, body: str, page: Path = PAGE) -> None:
    """Puts a section into the page, in place of the one of that name, else after the last one.

    Doing it twice leaves the page as doing it once.

    Args:
        name: identifies the section: letters, digits, hyphens and spaces; not shown to readers.
        body: Markdown, with a heading of its own (``## ...``).
        page: the page; made if need be.

    Raises:
        ValueError: the name has other characters.
    """
    if not re.fullmatch(r"[\w -]+", name):
        raise ValueError(f"not a section name: {name!r}")
    start, end = f"<!-- section: {name} -->", f"<!-- end: {name} -->"
    section = f"{start}\n{body.strip()}\n{end}\n"
    text = page.read_text(encoding="utf-8") if page.exists() else _HEAD
    existing = re.compile(re.escape(start) + r".*?" + re.escape(end) + r"\n?", re.DOTALL)
    found = existing.search(text)
    before, after = (text[: found.start()], text[found.end() :]) if found else (f"{text.rstrip()}\n\n", "")
    page.write_text(before + section + after, encoding="utf-8")
