"""``stemscribe keys``: what each command prints where, and what it refuses."""

import json
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from service.cli.keys import keys
from service.secrets import KEY_PREFIX

NEVER = "0" * 32


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("STEMSCRIBE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "40")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(keys, arguments)


def listed() -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = json.loads(run("list", "--json").stdout)["keys"]
    return documents


def spend(data_dir: Path, key_id: str, *amounts: int) -> None:
    """Entries as tasks leave them, in thousandths of a credit."""
    with sqlite3.connect(data_dir / "stemscribe.db") as database:
        for number, amount in enumerate(amounts):
            entry = (f"{number:032x}", key_id, f"{number:032x}", "separation", amount, 1_800_000_000_000 + number)
            database.execute("INSERT INTO credit_entries VALUES (?, ?, ?, ?, ?, ?)", entry)
        database.execute("UPDATE api_keys SET credits_spent = ? WHERE id = ?", (sum(amounts), key_id))
    database.close()


def test_a_key_with_limits_from_creation_to_revocation() -> None:
    created = run("create", "app", "--rate", "3", "--in-flight", "0", "--credits", "50")
    assert created.exit_code == 0
    [token] = created.stdout.splitlines()
    assert token.startswith(KEY_PREFIX)
    [key] = listed()
    assert set(key) == {
        "id", "name", "hint", "created", "lastUsed", "revoked", "oldKeyUntil", "rateLimit", "inFlightLimit",
        "creditLimit", "creditsSpent",
    }  # fmt: skip
    assert (key["name"], token.startswith(key["hint"]), key["lastUsed"]) == ("app", True, None)
    assert (key["rateLimit"], key["inFlightLimit"], key["creditLimit"], key["creditsSpent"]) == (3, 0, 50, 0)
    shown = run("list").stdout
    assert key["id"] in shown  # whole, however narrow the terminal is
    assert "rate: 3 tasks in 10 s; in flight: no limit; credits spent: 0 of 50" in shown
    assert token not in shown

    changed = run("limit", key["id"], "--rate", "default", "--credits", "none")
    assert (changed.exit_code, changed.stdout) == (0, "")
    assert "rate: 20 tasks in 10 s (default); in flight: no limit; credits spent: 0, no limit" in changed.stderr
    [key] = listed()
    assert (key["rateLimit"], key["inFlightLimit"], key["creditLimit"]) == (None, 0, None)

    revoked = run("revoke", "app")
    assert (revoked.exit_code, revoked.stdout) == (0, "")
    assert revoked.stderr == f"app ({key['id']}) is revoked.\n"
    assert listed()[0]["revoked"] is not None
    assert ", revoked 20" in run("list").stdout


def test_rotation_prints_the_new_key_alone() -> None:
    first = run("create", "app").stdout.strip()
    rotated = run("rotate", "app")
    [second] = rotated.stdout.splitlines()
    assert second.startswith(KEY_PREFIX)
    assert second != first
    assert "the old key still works for 24 hours." in rotated.stderr
    [key] = listed()
    assert second.startswith(key["hint"])
    assert key["oldKeyUntil"] is not None
    assert "rotated: the key before this one works until 20" in run("list").stdout
    at_once = run("rotate", "app", "--grace", "0")
    assert "the old key no longer works." in at_once.stderr
    assert listed()[0]["oldKeyUntil"] is None
    assert "rotated" not in run("list").stdout


def test_the_ledger(data_dir: Path) -> None:
    run("create", "app", "--credits", "20")
    [key] = listed()
    spend(data_dir, key["id"], 10_500, 5000, -5000)
    shown = run("ledger", "app").stdout.splitlines()
    assert shown[0] == f"2027-01-15 08:00  {0:032x}  separation     spent 10.5"
    assert shown[2].endswith("given back 5")
    assert shown[-1] == f"app ({key['id']}): credits spent: 10.5 of 20."
    document = json.loads(run("ledger", "app", "--json").stdout)
    assert (document["key"], document["spent"]) == (key["id"], 10.5)
    assert [entry["credits"] for entry in document["entries"]] == [10.5, 5, -5]
    assert set(document["entries"][0]) == {"time", "task", "kind", "credits"}
    assert "credits spent: 10.5 of 20" in run("list").stdout
    run("revoke", "app")
    assert run("ledger", "app").exit_code == 0  # what was spent can be asked for afterwards too


@pytest.mark.parametrize(
    "command",
    [("revoke",), ("rotate",), ("limit", "--rate", "1"), ("ledger",)],
    ids=["revoke", "rotate", "limit", "ledger"],
)
def test_a_name_must_mean_one_key(command: tuple[str, ...], data_dir: Path) -> None:
    unknown = run(*command, "nobody")
    assert unknown.exit_code == 1
    assert "key has the id or name 'nobody'; `stemscribe keys list` shows them." in unknown.stderr
    run("create", "twin")
    run("create", "other")
    with sqlite3.connect(data_dir / "stemscribe.db") as database:  # as versions did that took a name twice
        database.execute("UPDATE api_keys SET name = 'twin'")
    database.close()
    ids = [key["id"] for key in listed()]
    ambiguous = run(*command, "twin")
    assert ambiguous.exit_code == 1
    assert f"2 keys have the name 'twin'; name one by its id: {', '.join(ids)}." in ambiguous.stderr
    assert all(key["revoked"] is None and key["rateLimit"] is None for key in listed())
    assert run(*command, ids[0]).exit_code == 0


def test_a_revoked_key_leaves_its_name() -> None:
    run("create", "app")
    run("revoke", "app")
    for command in (("revoke",), ("rotate",), ("limit", "--rate", "1")):
        gone = run(*command, "app")
        assert gone.exit_code == 1
        assert "No live key has the id or name 'app'" in gone.stderr
    run("create", "app")
    assert run("revoke", "app").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create",), "Missing argument 'NAME'"),
        (("create", ""), "A name has 1 to 100 printable characters"),
        (("create", "two\nlines"), "A name has 1 to 100 printable characters"),
        (("create", "app "), "no space at either end"),
        (("create", "x" * 101), "A name has 1 to 100 printable characters"),
        (
            ("create", "app", "--rate", "many"),
            "'many' is neither a whole number from 0 to 999999999 nor 'default'.",
        ),
        (("create", "app", "--credits", "-1"), "'-1' is neither a whole number"),
        (("create", "app", "--credits", "default"), "'default' is neither a whole number from 0 to 999999999 nor"),
        (("create", "app", "--in-flight", "1.5"), "'1.5' is neither a whole number"),
        (("create", "app", "--rate", "²"), "'²' is neither a whole number"),
        (("create", "app", "--rate", "9" * 5000), "is neither a whole number"),
        (("limit", "app"), "Say what to change: --rate, --in-flight or --credits."),
        (("rotate", "app", "--grace", "-1"), "-1 is not in the range"),
    ],
)
def test_called_wrongly(arguments: tuple[str, ...], message: str) -> None:
    ran = run(*arguments)
    assert ran.exit_code == 2
    assert message in ran.stderr


def test_an_empty_list() -> None:
    assert listed() == []
    ran = run("list")
    assert ran.stdout == ""
    assert "There are no keys: `stemscribe keys create NAME` makes one." in ran.stderr


def test_a_name_is_taken_as_long_as_its_key_lives() -> None:
    assert run("create", "app").exit_code == 0
    [key] = listed()
    for name in ("app", key["id"]):
        again = run("create", name)
        assert (again.exit_code, again.stdout) == (1, "")
        assert f"A live key has the name {name!r} already ({key['id']})" in again.stderr
    assert len(listed()) == 1
    assert run("create", "x" * 100).exit_code == 0


@pytest.mark.parametrize("size", ["scaled"], indirect=True)
def test_keys_are_dated_by_the_clock_of_the_fleet(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a key that was rotated where the clock is wrong is good for too short a time, or too long."""
    monkeypatch.setenv("STEMSCRIBE_DATABASE_URL", database_url)
    time_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: time_ns() + int(3600e9))
    assert run("create", "app").exit_code == 0
    [key] = listed()
    assert abs(datetime.fromisoformat(key["created"]) - datetime.now(UTC)) < timedelta(minutes=10)
