"""Fixtures for every test."""

pytest_plugins = ["support.service_fixtures"]
