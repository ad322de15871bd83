"""Keys and link signatures: derived apart, compared whole."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.secrets import Secrets, load_secrets, new_key
from service.settings import Settings, SettingsError

ONE, OTHER = Secrets(b"one secret of sixteen"), Secrets(b"another secret of ours")


def test_keys_are_random_and_digests_depend_on_the_secret() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    key = keys.pop()
    assert ONE.key_digest(key) == ONE.key_digest(key) != OTHER.key_digest(key)


@given(st.text(max_size=40), st.integers(0, 2**40))
def test_a_link_is_good_for_its_file_its_time_and_its_server(file_id: str, expires_s: int) -> None:
    signature = ONE.sign_link(file_id, expires_s)
    assert ONE.link_is_ours(file_id, expires_s, signature)
    assert not ONE.link_is_ours(file_id, expires_s + 1, signature)
    assert not ONE.link_is_ours(file_id + "0", expires_s, signature)
    assert not OTHER.link_is_ours(file_id, expires_s, signature)
    assert not ONE.link_is_ours(file_id, expires_s, signature[:-1])
    assert not ONE.link_is_ours(file_id, expires_s, "ü")


def test_the_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    first = load_secrets(settings).key_digest("x")
    assert load_secrets(settings).key_digest("x") == first
    path = tmp_path / "data" / "secret.key"
    assert path.stat().st_mode & 0o077 == 0
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("secret", [b"", b"x", b"fifteen bytes.."])
def test_a_short_secret_signs_nothing(secret: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too short"):
        Secrets(secret)
    (tmp_path / "secret.key").write_bytes(secret)
    with pytest.raises(SettingsError, match=rf"secret\.key holds {len(secret)} bytes"):
        load_secrets(Settings(data_dir=tmp_path))
    Secrets(secret.ljust(16, b"."))


def test_the_secret_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    for name in ("fsync", "link"):
        really = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *given, name=name, really=really: (steps.append(name), really(*given)))
    load_secrets(Settings(data_dir=tmp_path))
    assert steps == ["fsync", "link"]
