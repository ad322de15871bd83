"""Settings: environment over file over default, and every one of them in the README."""

import dataclasses
import ipaddress
from pathlib import Path

import pytest

from service.settings import Settings, SettingsError, load_settings

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


def test_the_readme_lists_every_setting_with_its_meaning() -> None:
    readme = README.read_text(encoding="utf-8")
    for item in dataclasses.fields(Settings):
        assert f"| `STEMSCRIBE_{item.name.upper()}` |" in readme, item.name
        assert item.metadata["about"] in readme, item.name
