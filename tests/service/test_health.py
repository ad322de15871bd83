"""Liveness, readiness, and the API's description of itself."""

import shutil

import pytest

from pipeline.models.store import ModelStore
from support.api import Api


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


async def test_unknown_paths_are_problem_details(api: Api) -> None:
    response = await api.http.get("/no/such/path")
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("application/problem+json")
    assert response.json()["status"] == 404
