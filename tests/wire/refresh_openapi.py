"""Writes the document that the tests compare with: ``python tests/wire/refresh_openapi.py`` (or ``make schema``)."""

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Any

from service.api.app import create_app
from service.api.documentation import complete
from service.context import Context
from service.settings import Settings

SNAPSHOT = Path(__file__).with_name("openapi.json")


def document() -> dict[str, Any]:
    """The document as the code makes it; it depends on no setting and no database."""
    with tempfile.TemporaryDirectory() as folder:
        settings = dataclasses.replace(Settings(), data_dir=Path(folder), secret="a secret for tests only")
        return complete(create_app(Context(settings)).openapi_schema.to_schema())


def as_text(made: dict[str, Any]) -> str:
    """The document as it is kept: a line for each value, so that changes are seen."""
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SNAPSHOT.write_text(as_text(document()), encoding="utf-8")
