"""Signatures of callbacks, checked as receivers check them: by the contract's vector and by the public library."""

import base64
import dataclasses
import hmac
import json
import time
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from service.secrets import Secrets
from service.settings import Settings, SettingsError, load_settings
from service.signatures import Signer, parse_secrets, show_secret
from support.process import environment, stemscribe

TASK = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
OLD, NEW = bytes(range(24)), bytes(range(100, 164))
BODY = '{"code":200,"msg":"Größe ✓"}'.encode()


def signed(signer: Signer, timestamp_s: int | None = None) -> dict[str, str]:
    now_s = int(time.time()) if timestamp_s is None else timestamp_s
    return signer.headers(event_id="evt_1", task_id=TASK, body=BODY, timestamp_s=now_s)


def test_the_vector_of_the_contract() -> None:
    headers = signed(Signer("whk_demo_0001", [OLD]), 1_790_000_000)
    assert headers["X-Webhook-Timestamp"] == headers["webhook-timestamp"] == "1790000000"
    assert headers["X-Webhook-Signature"] == "Nsy8KhRkSqfzaF9CQ9JQ2ni6+6lbz+sKph7I/LxiCfA="
    assert headers["webhook-id"] == "evt_1"


def test_the_public_library_takes_the_body_and_nothing_but_the_body() -> None:
    headers = signed(Signer("whk_demo_0001", [OLD]))
    receiver = Webhook(show_secret(OLD))
    assert receiver.verify(BODY, headers) == json.loads(BODY)
    for changed in (
        {**headers, "webhook-id": "evt_2"},
        {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)},
    ):
        with pytest.raises(WebhookVerificationError, match="No matching signature"):
            receiver.verify(BODY, changed)
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        receiver.verify(BODY.replace(b"200", b"500"), headers)
    with pytest.raises(WebhookVerificationError, match="too old"):
        receiver.verify(BODY, signed(Signer("whk_demo_0001", [OLD]), int(time.time()) - 3600))


def test_while_a_secret_is_replaced_receivers_with_either_one_are_served() -> None:
    headers = signed(Signer("whk_demo_0001", [NEW, OLD]))
    newest, oldest = headers["webhook-signature"].split(" ")
    for secret, signature in ((NEW, newest), (OLD, oldest)):
        assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)
        assert Webhook(secret).verify(BODY, {**headers, "webhook-signature": signature}) == json.loads(BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(bytes(24)).verify(BODY, headers)


def test_secrets_are_read_as_they_are_shown() -> None:
    shown = show_secret(OLD)
    assert parse_secrets(shown) == (OLD,)
    assert parse_secrets(f" {show_secret(NEW)} , {shown}") == (NEW, OLD)
    assert parse_secrets(show_secret(NEW).rstrip("=")) == (NEW,)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("webhook_secret", "hush", "secret 1 of 1 does not begin with whsec_"),
        ("webhook_secret", "whsec_hush", r"24 to 64 bytes, or several.*: secret 1 of 1 has 3 bytes"),
        ("webhook_secret", "whsec_hush!", "secret 1 of 1 is not base64"),
        ("webhook_secret", "whsec_hüsh", "secret 1 of 1 is not base64"),
        ("webhook_secret", f"{show_secret(OLD)},", "secret 2 of 2 does not begin with whsec_"),
        ("webhook_secret", f"{show_secret(OLD)},whsec_{base64.b64encode(bytes(65)).decode()}", "secret 2 of 2 has 65"),
        ("webhook_hmac_key", "hush-hush-h", "must have at least 12 characters"),
        ("webhook_hmac_key", "hush-hush-hush\n", "no white space"),
        ("webhook_hmac_key", "hush hush hush hush", "no white space"),
        ("webhook_hmac_key", "hüsh-hüsh-hüsh", "other ASCII signs"),
    ],
)
def test_what_cannot_sign_is_refused_without_being_shown(name: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as refused:
        load_settings({f"STEMSCRIBE_{name.upper()}": value, "STEMSCRIBE_CONFIG": "none"})
    assert refused.value.message.startswith(f"STEMSCRIBE_{name.upper()} must")
    assert "hush" not in refused.value.message.lower()
    assert show_secret(OLD) not in refused.value.message


def test_settings_that_are_shown_show_no_secret() -> None:
    settings = Settings(
        webhook_hmac_key="hush-hush-hush",
        webhook_secret=show_secret(OLD),
        secret="hush hush hush hush",
        database_url="postgresql+asyncpg://me:hush@host/db",
    )
    assert "hush" not in repr(settings)
    assert show_secret(OLD) not in repr(settings)


def test_configured_keys_sign_and_without_them_the_servers_own() -> None:
    given = Settings(webhook_hmac_key="whk_demo_0001", webhook_secret=f"{show_secret(NEW)},{show_secret(OLD)}")
    signer = Secrets(b"one secret of sixteen").signer(given)
    assert (signer.hmac_key, signer.secrets) == ("whk_demo_0001", (NEW, OLD))

    own, again = (Secrets(b"one secret of sixteen").signer(Settings()) for _ in range(2))
    others = Secrets(b"another secret of ours").signer(Settings())
    assert (own.hmac_key, own.secrets) == (again.hmac_key, again.secrets)
    assert own.hmac_key != others.hmac_key
    assert own.secrets != others.secrets
    [secret] = own.secrets
    assert own.hmac_key.startswith("whk_")
    assert secret.hex() not in own.hmac_key
    # What is shown is what may be configured: so the server's own can be kept beside a new one for a while.
    shown = dataclasses.replace(
        Settings(), webhook_hmac_key=own.hmac_key, webhook_secret=",".join(map(show_secret, own.secrets))
    )
    kept = Secrets(b"another secret of ours").signer(shown)
    assert (kept.hmac_key, kept.secrets) == (own.hmac_key, own.secrets)


def test_the_command_line_prints_what_receivers_need(tmp_path: Path) -> None:
    env = environment(tmp_path / "data", secret="a secret for tests only")
    ran = stemscribe("webhooks", "secrets", env=env)
    assert ran.returncode == 0, ran.stderr
    printed = dict(line.split("=", 1) for line in ran.stdout.splitlines())
    headers = signed(Secrets(b"a secret for tests only").signer(Settings()))
    assert Webhook(printed["STEMSCRIBE_WEBHOOK_SECRET"]).verify(BODY, headers) == json.loads(BODY)
    timed = f"{TASK}.{headers['X-Webhook-Timestamp']}".encode()
    digest = hmac.digest(printed["STEMSCRIBE_WEBHOOK_HMAC_KEY"].encode(), timed, "sha256")
    assert base64.b64encode(digest).decode() == headers["X-Webhook-Signature"]
    assert stemscribe("webhooks", "secrets", env={**env, **printed}).stdout == ran.stdout
