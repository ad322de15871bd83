"""Liveness, readiness, and the API's description of itself."""

import asyncio
import dataclasses
import shutil

import pytest
import sqlalchemy as sa

from pipeline.models.store import ModelStore
from service import health
from service.context import Context
from service.health import examine
from service.settings import Settings
from support.api import Api
from support.redis_server import RedisServer


async def test_live(api: Api) -> None:
    response = await api.http.get("/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_not_ready_without_weights_and_says_which_command_helps(api: Api) -> None:
    response = await api.http.get("/health/ready")
    assert response.status_code == 503
    body = response.json()
    assert body["status"] == "unavailable"
    assert (body["checks"]["database"], body["checks"]["storage"]) == ("ok", "ok")
    assert "stemscribe models pull htdemucs" in body["checks"]["models"]


@pytest.mark.weights
async def test_ready_with_weights_and_not_without_a_data_folder(api: Api, model_store: ModelStore) -> None:
    models_dir = api.context.settings.models_dir
    models_dir.mkdir(parents=True)
    for name in ("htdemucs", "basic-pitch", "swift-f0"):
        (models_dir / name).symlink_to(model_store.require(name)[0].parent)
    response = await api.http.get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (200, "ok")
    shutil.rmtree(api.context.storage.scratch_dir)
    gone = await api.http.get("/health/ready")
    assert gone.status_code == 503
    assert gone.json()["checks"]["storage"] != "ok"


async def checks_of(context: Context) -> tuple[bool, dict[str, str]]:
    """As of an API that has no worker beside it."""
    readiness = await examine(context, (), context.stopping)
    return readiness.good, readiness.checks


async def test_an_api_without_a_worker_needs_no_weights(api: Api) -> None:
    api.context.serves_models = False
    response = await api.http.get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (200, "ok")
    assert "models" not in response.json()["checks"]


async def test_not_ready_before_the_migrations_but_after_those_of_a_version_to_come(context: Context) -> None:
    good, checks = await checks_of(context)
    assert (good, set(checks.values())) == (True, {"ok"})
    for version, said in (("0001", "the schema is not at the newest migration"), ("9999", "ok")):
        async with context.database.write() as session:
            await session.execute(sa.text(f"UPDATE alembic_version SET version_num = '{version}'"))
        good, checks = await checks_of(context)
        assert good == (said == "ok")
        assert (checks["database"], checks["storage"]) == (said, "ok")


async def test_not_ready_while_it_ends(api: Api) -> None:
    api.context.serves_models = False
    api.context.stopping.set()
    response = await api.http.get("/health/ready")
    assert (response.status_code, response.json()["checks"]) == (503, {"process": "it is about to end"})
    assert (await api.http.get("/health/live")).status_code == 200


async def test_redis_that_is_away_is_no_reason(settings: Settings, own_redis: RedisServer) -> None:
    context = Context(dataclasses.replace(settings, redis_url=own_redis.url))
    assert await checks_of(context) == (True, {"database": "ok", "storage": "ok", "redis": "ok"})
    own_redis.stop()
    good, checks = await checks_of(context)
    assert good
    assert checks["redis"].startswith("degraded: ")
    await context.close()


async def test_a_look_that_takes_too_long_is_cut_short(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(context.storage, "check", asyncio.Event().wait)
    good, checks = await checks_of(context)
    assert (good, checks["storage"]) == (False, "no answer within 0.05 s")


async def test_unknown_paths_are_problem_details(api: Api) -> None:
    response = await api.http.get("/no/such/path")
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("application/problem+json")
    assert response.json()["status"] == 404
