"""Dockerfile and compose.yaml: what linters and schemas know of them, and every command of ours run as a process."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.settings import Settings
from support.audio import wav_bytes
from support.process import environment, free_port
from support.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE_FILE = ROOT / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}
ONCE = ("migrate", "bucket")  # come to an end
SECRETS = ("POSTGRES_PASSWORD", "STEMSCRIBE_SECRET", "S3_ACCESS_KEY", "S3_SECRET_KEY")
TIMEOUT_S = 120.0


def tool(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)


def instructions(stage: str) -> list[str]:
    """Of one stage of the Dockerfile, each on one line."""
    text = re.sub(r"\\\n\s*", " ", DOCKERFILE)
    [body] = re.findall(rf"^FROM \S+ AS {stage}\n(.*?)(?=^FROM |\Z)", text, re.DOTALL | re.MULTILINE)
    return [line for line in body.splitlines() if line and not line.startswith("#")]


def command_of(stage: str, instruction: str = "CMD") -> list[str]:
    [line] = [line for line in instructions(stage) if line.split()[0] == instruction]
    return list(json.loads(line[line.index("[") :]))


def excluded() -> list[str]:
    """What the API's image is built without."""
    [install] = [line for line in instructions("build-api") if "overrides.txt" in line]
    made, *_ = install.split("&&")
    assert shlex.split(made)[2] == r"%s; sys_platform == 'never'\n"
    assert "--overrides overrides.txt" in install
    return shlex.split(made)[3 : shlex.split(made).index(">")]


def test_the_dockerfile_passes_its_linter() -> None:
    done = tool(str(Path(sys.executable).with_name("hadolint")), "Dockerfile")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_file_fits_its_schema() -> None:
    checker = str(Path(sys.executable).with_name("check-jsonschema"))
    done = tool(checker, "--builtin-schema", "vendor.compose-spec", str(COMPOSE_FILE))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_that_is_named_is_one() -> None:
    known = {f"STEMSCRIBE_{item.name.upper()}" for item in fields(Settings)}
    for text in (DOCKERFILE, COMPOSE_FILE.read_text(encoding="utf-8")):
        named = set(re.findall(r"STEMSCRIBE_[A-Z_]+", text))
        assert named
        assert named <= known


def test_secrets_come_from_outside_and_an_unset_one_is_refused() -> None:
    text = COMPOSE_FILE.read_text(encoding="utf-8")
    uses = re.findall(r"\$\{(\w+)([^}]*)\}", text)
    assert set(SECRETS) <= {name for name, _ in uses}
    for name, rest in uses:
        assert rest.startswith(":?" if name in SECRETS else ":-"), f"{name}{rest}"


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_service_is_held_short(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    assert ("healthcheck" in service) == (name not in ONCE)
    assert not service.get("privileged")
    if name in OURS:
        assert service["read_only"] is True
        assert "cap_add" not in service
        written = {volume.split(":")[1] for volume in service.get("volumes", ())}
        assert written <= {"/data", "/models"}
    else:
        assert re.fullmatch(r"[a-z0-9]+(/[a-z0-9]+)?:[\w.-]*\d[\w.-]*", service["image"]), "a name and a version"


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_what_is_waited_for_can_come_true(name: str) -> None:
    for other, how in COMPOSE["services"][name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
        assert how == {"condition": wanted}
        needed = set(COMPOSE["services"][other].get("profiles", ()))
        assert not needed, "what others wait for is there in every profile"


def test_every_profile_serves_every_queue_and_volumes_are_declared() -> None:
    for profile in ("cpu", "gpu"):
        commands = [service["command"] for service in OURS.values() if profile in service.get("profiles", ())]
        served = [queue for command in commands for queue in command[command.index("--queues") + 1].split(",")]
        assert sorted(served) == ["io", "midi", "separation"], profile
    used = {volume.split(":")[0] for service in COMPOSE["services"].values() for volume in service.get("volumes", ())}
    assert used == set(COMPOSE["volumes"])
    [gpu] = OURS["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (gpu["driver"], gpu["capabilities"]) == ("nvidia", ["gpu"])


def test_images_and_services_agree() -> None:
    for service in OURS.values():
        target = service["build"]["target"]
        if service["command"][1] in ("api", "worker"):
            checked = command_of("api" if target == "api" else "worker", "HEALTHCHECK")
            assert service["healthcheck"]["test"] == ["CMD", *checked]
        assert any(line.startswith("USER 10001:10001") for line in instructions("base"))
    assert OURS["api"]["command"] == command_of("api")
    assert OURS["worker-cpu"]["command"] == command_of("worker-cpu")
    assert OURS["worker-gpu"]["command"] == command_of("worker-cuda")
    for service in OURS.values():
        if "stop_grace_period" in service and service["command"][1] == "worker":
            assert int(service["stop_grace_period"].removesuffix("s")) > Settings().grace_seconds


def test_the_api_is_built_without_what_only_workers_need() -> None:
    assert {"torch", "demucs", "onnxruntime"} <= set(excluded())
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name in excluded():
        assert re.search(rf'^    "{name}[>=\[]', pyproject, re.MULTILINE), f"{name} is no dependency"


def run(command: list[str], env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """A container's command, as a process: ``stemscribe`` and ``python`` are those of this environment."""
    return subprocess.run(
        [*_start_of(command), *command[1:]], env=dict(env), capture_output=True, text=True, timeout=120, check=False
    )


def _start_of(command: list[str]) -> list[str]:
    return [sys.executable, *(["-m", "service.cli"] if command[0] == "stemscribe" else [])]


@contextlib.contextmanager
def running(command: list[str], env: Mapping[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as out:
        process = subprocess.Popen([*_start_of(command), *command[1:]], env=dict(env), stdout=out, stderr=out)
        try:
            yield process
            process.terminate()
            assert process.wait(TIMEOUT_S) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()


def await_healthy(check: list[str], port: int, env: Mapping[str, str], log: Path) -> None:
    """Run a health check when it should succeed; it fails before."""
    command = [re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", part) for part in check]
    assert run(command, env).returncode != 0
    deadline = time.monotonic() + TIMEOUT_S
    while not answers_ok(f"http://127.0.0.1:{port}/health/ready"):
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)
    assert run(command, env).returncode == 0


def answers_ok(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url, timeout=10, trust_env=False).status_code == 200
    return False


def as_in_compose(name: str, database_url: str, redis_url: str, storage_url: str, data_dir: Path) -> dict[str, str]:
    """The environment of a service, with the servers of these tests in place of its own."""
    given: dict[str, str] = OURS[name]["environment"]
    mine = {"STEMSCRIBE_DATABASE_URL": database_url, "STEMSCRIBE_REDIS_URL": redis_url,
            "STEMSCRIBE_STORAGE_URL": storage_url, "STEMSCRIBE_SECRET": "a secret for tests only",
            "STEMSCRIBE_PUBLIC_URL": "http://stemscribe.test", "STEMSCRIBE_ALLOW_ADDRESSES": ""}  # fmt: skip
    assert set(mine) == {variable for variable in given if variable.startswith("STEMSCRIBE_")}
    return environment(data_dir) | mine | {"STEMSCRIBE_LOG_FORMAT": "json"}


@pytest.mark.parametrize("size", ["scaled"], indirect=True)
def test_the_commands_of_the_api_image_run_without_torch(
    database_url: str, storage_url: str, shared_redis: RedisServer, tmp_path: Path
) -> None:
    modules = ",".join(name.replace("-", "_") for name in excluded())
    path = [str(ROOT / "tests" / "support" / "without_packages"), *filter(None, [os.environ.get("PYTHONPATH")])]
    without = {"PYTHONPATH": os.pathsep.join(path), "WITHOUT_PACKAGES": modules}
    env = as_in_compose("api", database_url, shared_redis.url, storage_url, tmp_path) | without
    torch = run(["python", "-c", "import torch"], env)
    assert "No module named 'torch'" in torch.stderr

    assert run(OURS["migrate"]["command"], env).returncode == 0
    assert run(["stemscribe", "db", "check"], env).returncode == 0
    token = run(["stemscribe", "keys", "create", "tests"], env).stdout.strip()
    port, log = free_port(), tmp_path / "api.log"
    env["STEMSCRIBE_PORT"] = str(port)
    check = OURS["api"]["healthcheck"]["test"][1:]
    with running(OURS["api"]["command"], env, log):
        await_healthy(check, port, env, log)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http:
            made = http.post(
                "/v1/transcriptions", files={"file": ("song.wav", wav_bytes())},
                headers={"Authorization": f"Bearer {token}", "X-Request-ID": "asked-by-tests"},
            )  # fmt: skip
            assert made.status_code == 202, made.text
            ready, metrics = http.get("/health/ready").json(), http.get("/metrics").text
    assert ready == {"status": "ok", "checks": {"database": "ok", "storage": "ok", "redis": "ok"}}
    assert re.search(
        r'^stemscribe_tasks\{kind="transcription",queue="\w+",state="queued"\} 1.0$', metrics, re.MULTILINE
    )
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    [access] = [line for line in lines if line.get("route") == "/v1/transcriptions"]
    assert (access["request_id"], access["method"], access["status"]) == ("asked-by-tests", "POST", 202)


@pytest.mark.weights
@pytest.mark.parametrize("size", ["scaled"], indirect=True)
def test_the_commands_of_the_workers_run(
    database_url: str, storage_url: str, shared_redis: RedisServer, tmp_path: Path
) -> None:
    for name in ("worker-cpu", "worker-light"):
        port, log = free_port(), tmp_path / f"{name}.log"
        env = as_in_compose(name, database_url, shared_redis.url, storage_url, tmp_path / name)
        env |= {"STEMSCRIBE_WORKER_PORT": str(port), "STEMSCRIBE_DEVICE": "cpu"}
        with running(OURS[name]["command"], env, log):
            await_healthy(OURS[name]["healthcheck"]["test"][1:], port, env, log)
            assert "stemscribe_claims_total" in httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
