"""What is noted of every request: its id, its line in the log, its figures."""

import logging
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.api import Api, call, started

LOGGER = "service.api.observation"


async def test_a_request_has_an_id_and_a_good_one_of_the_client_is_kept(api: Api) -> None:
    made = [(await api.http.get("/health/live")).headers["x-request-id"] for _ in range(2)]
    assert all(re.fullmatch("[0-9a-f]{32}", value) for value in made)
    assert made[0] != made[1]
    for good in ("a", "proxy-1:2026.11_21", "x" * 128):
        assert (await call(api, "GET", "/v1/tasks", **{"X-Request-ID": good})).headers["x-request-id"] == good
    for bad in ("", "x" * 129, "a b", "ä", "-x", "a\tb", 'a"b', "a=b"):
        response = await api.http.get("/health/live", headers=[(b"x-request-id", bad.encode())])
        assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"]), bad


@pytest.mark.parametrize("path", ["/no/such/path", "/v1/tasks/none", "/api/v1/nothing", "/v1/transcriptions"])
async def test_refused_requests_have_one_too(api: Api, path: str) -> None:
    response = await call(api, "GET", path, **{"X-Request-ID": "mine"})
    assert response.status_code in (200, 404, 405)
    assert response.headers.get_list("x-request-id") == ["mine"]


async def test_a_task_keeps_the_id_of_the_request_that_asked_for_it(api: Api) -> None:
    api.http.headers["X-Request-ID"] = "who-asked"
    uploaded = await api.upload()
    task_id = await started(api)
    for made in (uploaded["taskId"], task_id):
        record = await api.context.store.tasks.record(made, with_notes=False)
        assert record is not None
        assert record.task.request_id == "who-asked"


async def test_one_line_a_request_with_no_secrets_in_it(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOGGER)
    await api.get("/api/v1/midi/record-info", taskId="secret-of-the-query")
    await api.http.get("/health/live")
    await api.http.get("/some/secret/path")
    lines = [record for record in caplog.records if record.name == LOGGER]
    assert [(line.levelname, line.method, line.route, line.status) for line in lines] == [  # type: ignore[attr-defined]
        ("INFO", "GET", "/api/v1/midi/record-info", 200),
        ("DEBUG", "GET", "/health/live", 200),
        ("INFO", "GET", "none", 404),
    ]
    said = " ".join(line.getMessage() for line in lines)
    assert "secret" not in said
    assert api.token not in said


async def test_requests_are_counted_by_route_method_and_status(api: Api) -> None:
    async def counts() -> dict[tuple[str, str, str], float]:
        text = (await api.http.get("/metrics")).text
        return {
            (sample.labels["route"], sample.labels["method"], sample.labels["status"]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "stemscribe_http_requests_total"
        }

    before = await counts()
    for task_id in ("one", "two"):
        await call(api, "GET", f"/v1/tasks/{task_id}")
    await call(api, "BREW", "/v1/tasks/one")
    await call(api, "GET", "/nothing/here")
    added = {key: value - before.get(key, 0.0) for key, value in (await counts()).items() if value != before.get(key)}
    assert added.pop(("/metrics", "GET", "200")) == 1
    assert added == {("/v1/tasks/{task_id}", "GET", "404"): 2, ("none", "other", "405"): 1, ("none", "GET", "404"): 1}
