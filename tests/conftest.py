"""Fixtures and options for every test."""

import pytest

pytest_plugins = ["support.children", "support.model_fixtures", "support.redis_server", "support.service_fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-golden", action="store_true", help="write tests/wire/golden anew from what is answered")
