"""What `stemscribe doctor` says of a fleet's servers."""

import dataclasses

import pytest

from service.doctor import Finding, examine
from service.settings import Settings
from support.redis_server import RedisServer
from support.s3 import S3Server


async def findings(settings: Settings) -> dict[str, Finding]:
    return {finding.what: finding for finding in await examine(settings)}


@pytest.mark.parametrize("size", ["scaled"], indirect=False)
async def test_every_server_is_looked_at(settings: Settings, size: str) -> None:
    found = await findings(settings)
    assert found["database"].good
    assert found["storage"] == Finding("storage", True, f"{settings.storage_url}: ok")
    assert found["Redis"] == Finding("Redis", True, "it answers")


async def test_servers_that_are_away_are_named(
    settings: Settings, own_redis: RedisServer, s3: S3Server, size: str
) -> None:
    own_redis.stop()
    away = dataclasses.replace(settings, redis_url=own_redis.url, storage_url="s3://no-such-bucket")
    found = await findings(away)
    assert not found["Redis"].good
    assert "look into the database all the same" in found["Redis"].detail
    assert not found["storage"].good
    assert "no-such-bucket" in found["storage"].detail
