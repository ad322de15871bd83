"""Settings: environment over file over default, and every one of them in the README."""

import dataclasses
import ipaddress
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from service.settings import Settings, SettingsError, load_settings, unknown_variables

README = Path(__file__).parents[2] / "README.md"


def test_environment_over_file_over_default(tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text('port = 9001\nhost = "0.0.0.0"\nallow_addresses = ["10.0.0.0/8", "::1/128"]\n')
    environ = {"STEMSCRIBE_CONFIG": str(config), "STEMSCRIBE_PORT": "9002"}
    settings = load_settings(environ)
    assert (settings.port, settings.host, settings.retention_days) == (9002, "0.0.0.0", 14)
    assert settings.allow_addresses == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))
    assert load_settings(environ, port=9003).port == 9003


def test_a_child_process_sees_exactly_the_same(tmp_path: Path) -> None:
    settings = dataclasses.replace(
        Settings(), data_dir=tmp_path, port=81, allow_addresses=(ipaddress.ip_network("127.0.0.0/8"),)
    )
    assert load_settings({**settings.environment(), "STEMSCRIBE_CONFIG": str(tmp_path / "none")}) == settings


@pytest.mark.parametrize("text", ["port = ", 'prot = 8000\nport = "x"', "unknown = 1"])
def test_a_bad_file_is_refused(tmp_path: Path, text: str) -> None:
    config = tmp_path / "bad.toml"
    config.write_text(text)
    with pytest.raises(SettingsError):
        load_settings({"STEMSCRIBE_CONFIG": str(config)})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("port", 65_536, "PORT must be at most 65535, not 65536"),
        ("port", -1, "PORT must be at least 0"),
        ("secret", "fifteen bytes..", "SECRET must have at least 16 bytes"),
        ("separation_model", "basic-pitch", "SEPARATION_MODEL must be one of htdemucs, htdemucs_6s, htdemucs_ft, not"),
        ("separation_model", "demucs9", "SEPARATION_MODEL must be one of .*, not 'demucs9'"),
        ("source_buckets", "songs, s3://more", "SOURCE_BUCKETS must be names of buckets, or `none`, not 's3://more'"),
        ("max_conversion_minutes", 0, "MAX_CONVERSION_MINUTES must be at least 1"),
        ("database_url", "nonsense", r"DATABASE_URL is no database address. Write postgresql\+asyncpg://"),
        ("database_url", "postgresql+asyncpg://me@host:port/db", "DATABASE_URL is no database address"),
        ("database_url", "postgresql://me:hush@host/db", r"DATABASE_URL .*postgresql\+asyncpg://, not postgresql://"),
        ("database_url", "sqlite:///file.db", r"DATABASE_URL must begin with sqlite\+aiosqlite://"),
    ],
)
def test_a_value_that_cannot_work_is_refused_at_once(name: str, value: object, message: str) -> None:
    with pytest.raises(SettingsError, match=f"STEMSCRIBE_{message}") as refused:
        load_settings({f"STEMSCRIBE_{name.upper()}": str(value), "STEMSCRIBE_CONFIG": "none"})
    assert "hush" not in refused.value.message


def test_what_is_only_converted_may_be_longer_and_take_longer() -> None:
    settings = load_settings({"STEMSCRIBE_MAX_CONVERSION_MINUTES": "600", "STEMSCRIBE_CONFIG": "none"})
    usual, longer = settings.decode_limits, settings.conversion_limits
    assert (usual.max_duration_s, longer.max_duration_s) == (1800.0, 36_000.0)
    assert longer.cpu_s > 2 * usual.cpu_s
    assert longer.timeout_s > 2 * usual.timeout_s
    assert (longer.max_file_bytes, longer.memory_bytes) == (usual.max_file_bytes, usual.memory_bytes)


def test_a_database_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "postgresql+asyncpg://me@host/db"
    assert Settings(database_url=address).resolved_database_url == address
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(SettingsError, match=r"DATABASE_URL needs the Python package asyncpg.*extra `postgres`"):
        Settings(database_url=address)


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("music.example", "http://music.example:8000"),
        ("::1", "http://[::1]:8000"),
        ("fd00::5", "http://[fd00::5]:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
    ],
)
def test_links_lead_to_where_the_api_listens(host: str, base: str) -> None:
    assert Settings(host=host).resolved_public_url == base
    assert Settings(host=host, public_url="https://example.com/").resolved_public_url == "https://example.com"


def test_the_data_folder_may_have_any_name(tmp_path: Path) -> None:
    for name in ("plain", "what? now", "100%20", "a#b", "ü@x:y"):
        folder = tmp_path / name
        assert make_url(Settings(data_dir=folder).resolved_database_url).database == str(folder / "stemscribe.db")


def test_misspelt_variables_are_found() -> None:
    environ = {"STEMSCRIBE_PROT": "1", "STEMSCRIBE_PORT": "1", "STEMSCRIBE_CONFIG": "x", "PATH": "/", "STEMSCRIBE_": ""}
    assert unknown_variables(environ) == ["STEMSCRIBE_", "STEMSCRIBE_PROT"]
    assert unknown_variables(Settings().environment()) == []


def test_the_readme_lists_every_setting_with_its_meaning() -> None:
    readme = README.read_text(encoding="utf-8")
    for item in dataclasses.fields(Settings):
        assert f"| `STEMSCRIBE_{item.name.upper()}` |" in readme, item.name
        assert item.metadata["about"] in readme, item.name
