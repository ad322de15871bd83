"""Keys in the store: rotation, limits, and what a change of them does to requests."""

import pytest

from service.context import Context
from service.db.models import ApiKey
from service.keys import create_key, rotate_key
from support.api import Api

PATH = "/api/v1/chat/credit"
HOUR_MS = 3600 * 1000


async def status(api: Api, token: str) -> int:
    return (await api.http.get(PATH, headers={"Authorization": f"Bearer {token}"})).status_code


async def test_a_rotated_key_works_beside_the_new_one_for_a_while(api: Api, key: ApiKey) -> None:
    done = await api.separated()
    new = await rotate_key(api.context, key.id, HOUR_MS)
    assert new is not None
    assert new != api.token
    assert (await status(api, api.token), await status(api, new)) == (200, 200)
    shown = await api.http.get(
        "/api/v1/vocal-removal/record-info",
        params={"taskId": done["taskId"]},
        headers={"Authorization": f"Bearer {new}"},
    )
    assert shown.json()["code"] == 200  # the tasks stay
    again = Context(api.context.settings, api.clock)  # a process that has not seen the keys before
    api.clock.advance(3600)
    try:
        assert await again.store.keys.find(again.secrets.key_digest(api.token)) is None
        found = await again.store.keys.find(again.secrets.key_digest(new))
    finally:
        await again.close()
    assert found is not None
    assert found.id == key.id


async def test_without_grace_the_old_key_ends_at_once(api: Api, key: ApiKey) -> None:
    assert await status(api, api.token) == 200
    new = await rotate_key(api.context, key.id, 0)
    assert (await status(api, api.token), await status(api, new or "")) == (401, 200)


async def test_rotated_twice_only_the_last_of_the_old_ones_works(api: Api, key: ApiKey) -> None:
    second = await rotate_key(api.context, key.id, HOUR_MS)
    third = await rotate_key(api.context, key.id, HOUR_MS)
    tokens = (api.token, second or "", third or "")
    assert [await status(api, token) for token in tokens] == [401, 200, 200]


async def test_revoking_ends_the_old_key_too(api: Api, key: ApiKey) -> None:
    new = await rotate_key(api.context, key.id, HOUR_MS)
    await api.context.store.keys.revoke(key.id)
    assert (await status(api, api.token), await status(api, new or "")) == (401, 401)
    assert await rotate_key(api.context, key.id, HOUR_MS) is None


async def test_limits_are_given_at_the_start_or_later(context: Context) -> None:
    token = await create_key(context, "app", {"rate_limit": 3, "in_flight_limit": 2, "credit_limit": 5000})
    made = await context.store.keys.find(context.secrets.key_digest(token))
    assert made is not None
    assert (made.rate_limit, made.in_flight_limit, made.credit_limit) == (3, 2, 5000)
    assert await context.store.keys.set_limits("app", {"rate_limit": None}) == 1
    changed = await context.store.keys.get(made.id)
    assert (changed.rate_limit, changed.in_flight_limit, changed.credit_limit) == (None, 2, 5000)
    assert await context.store.keys.set_limits("nobody", {"rate_limit": 1}) == 0


async def test_last_use_is_kept_to_the_minute(api: Api, key: ApiKey) -> None:
    first = (await api.context.store.keys.get(key.id)).last_used_ms
    assert first == api.clock.now_ms()
    digest = api.context.secrets.key_digest(api.token)
    for advance_s, expected_s in ((30, 0), (40, 70)):
        api.clock.advance(advance_s)
        other = Context(api.context.settings, api.clock)
        try:
            assert await other.store.keys.find(digest) is not None
        finally:
            await other.close()
        assert (await api.context.store.keys.get(key.id)).last_used_ms == first + expected_s * 1000


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_read_in_any_capitals(api: Api, scheme: str) -> None:
    response = await api.http.get(PATH, headers={"Authorization": f"{scheme} {api.token}"})
    assert response.status_code == 200
