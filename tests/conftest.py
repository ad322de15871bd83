"""Fixtures for every test."""

pytest_plugins = ["support.model_fixtures", "support.service_fixtures"]
