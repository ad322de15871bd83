"""Signatures of callbacks: every one is signed by both schemes of the contract (1.11), whatever its dialect.

The vendors' own scheme signs the task's id and the time, not the body; Standard Webhooks signs the body as well and
several times while a secret is being replaced (https://www.standardwebhooks.com, specification 1.0.0).
"""

import base64
import binascii
import hmac
from collections.abc import Sequence

SECRET_PREFIX = "whsec_"  # noqa: S105 (no secret: how one is known)
MIN_HMAC_KEY_LENGTH = 12  # captured signatures can be guessed at offline; the contract's own test key has 13
_SECRET_BYTES = range(24, 65)  # the specification's bounds


def is_hmac_key(text: str) -> bool:
    """Whether a text can be the key of the vendors' scheme: long enough, and in no danger of stray white space."""
    return len(text) >= MIN_HMAC_KEY_LENGTH and text.isascii() and text.isprintable() and " " not in text


def parse_secrets(text: str) -> tuple[bytes, ...]:
    """Standard Webhooks secrets, ``whsec_<base64>`` separated by commas; the newest comes first.

    Raises:
        ValueError: one is not of that form, or not of 24 to 64 bytes; the message does not tell it.
    """
    parts = [part.strip() for part in text.split(",")]
    return tuple(_parse_secret(part, f"secret {at} of {len(parts)}") for at, part in enumerate(parts, start=1))


def _parse_secret(text: str, which: str) -> bytes:
    encoded = text.removeprefix(SECRET_PREFIX)
    if encoded == text:
        raise ValueError(f"{which} does not begin with {SECRET_PREFIX}")
    try:
        # Other libraries give and take it without its padding.
        secret = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{which} is not base64 after {SECRET_PREFIX}") from None
    if len(secret) not in _SECRET_BYTES:
        raise ValueError(f"{which} has {len(secret)} bytes; it must have {_SECRET_BYTES[0]} to {_SECRET_BYTES[-1]}")
    return secret


def show_secret(secret: bytes) -> str:
    """A Standard Webhooks secret as text, as receivers are given it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


class Signer:
    """Signs callbacks.

    Args:
        hmac_key: of the vendors' scheme; its UTF-8 bytes are the key.
        secrets: of Standard Webhooks, at least one; each signs, the newest first, so that a receiver that has not yet
            changed to the newest still finds a signature it can check.
    """

    def __init__(self, hmac_key: str, secrets: Sequence[bytes]) -> None:
        self.hmac_key = hmac_key
        self.secrets = tuple(secrets)

    def headers(self, *, event_id: str, task_id: str, body: bytes, timestamp_s: int) -> dict[str, str]:
        """The headers of one attempt to deliver a callback.

        Args:
            event_id: the same for every attempt.
            task_id: the task whose end it tells.
            body: exactly as it is sent.
            timestamp_s: when the attempt is made (Unix seconds); receivers refuse what is older than some minutes.
        """
        timed = f"{task_id}.{timestamp_s}".encode()
        content = f"{event_id}.{timestamp_s}.".encode() + body
        return {
            "X-Webhook-Timestamp": str(timestamp_s),
            "X-Webhook-Signature": _digest(self.hmac_key.encode(), timed),
            "webhook-id": event_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": " ".join(f"v1,{_digest(secret, content)}" for secret in self.secrets),
        }


def _digest(key: bytes, content: bytes) -> str:
    """HMAC-SHA256 in base64."""
    return base64.b64encode(hmac.digest(key, content, "sha256")).decode()
