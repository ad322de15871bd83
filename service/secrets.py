"""Secrets: the server's own, the API keys made with it, the signatures of file links, the keys that sign callbacks."""

import hashlib
import hmac
import os
import secrets
import zlib
from base64 import urlsafe_b64encode
from pathlib import Path

from service.settings import MIN_SECRET_BYTES, Settings, SettingsError
from service.signatures import Signer, parse_secrets

KEY_PREFIX = "stsc_"
_KEY_RANDOM_BYTES = 24  # 192 bits: no need for a slow hash, guessing is hopeless
_HINT_LENGTH = len(KEY_PREFIX) + 6


class Secrets:
    """Everything derived from the server's secret; a purpose never shares a key with another.

    Args:
        secret: at least 16 bytes.

    Raises:
        ValueError: it is shorter.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise ValueError(f"a secret of {len(secret)} bytes is too short; {MIN_SECRET_BYTES} are the least")
        self._key_digests = hmac.digest(secret, b"api-key-digest", "sha256")
        self._links = hmac.digest(secret, b"file-link", "sha256")
        self._webhook_hmac_key = hmac.digest(secret, b"webhook-hmac-key", "sha256")
        self._webhook_secret = hmac.digest(secret, b"webhook-secret", "sha256")

    def key_digest(self, token: str) -> str:
        """What is stored of an API key: HMAC-SHA256 in hex."""
        return hmac.new(self._key_digests, token.encode(), hashlib.sha256).hexdigest()

    def sign_link(self, file_id: str, expires_s: int) -> str:
        """Signature of a link to a file that is good until ``expires_s`` (Unix seconds): URL-safe base64."""
        digest = hmac.digest(self._links, f"{file_id}.{expires_s}".encode(), "sha256")
        return urlsafe_b64encode(digest[:24]).decode()

    def link_is_ours(self, file_id: str, expires_s: int, signature: str) -> bool:
        """Whether the signature is the one :meth:`sign_link` gives; takes the same time whatever the answer."""
        return hmac.compare_digest(self.sign_link(file_id, expires_s).encode(), signature.encode())

    def signer(self, settings: Settings) -> Signer:
        """What signs callbacks: with the configured keys, or with our own where there is none."""
        return Signer(
            settings.webhook_hmac_key or f"whk_{self._webhook_hmac_key.hex()}",
            parse_secrets(settings.webhook_secret) if settings.webhook_secret else [self._webhook_secret],
        )


def load_secrets(settings: Settings) -> Secrets:
    """The configured secret, or a random one kept in the data folder (made at first use, readable by us alone).

    Raises:
        SettingsError: the file in the data folder is too short to be a secret.
    """
    if settings.secret:
        return Secrets(settings.secret.encode())
    path = settings.data_dir / "secret.key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_once(path, secrets.token_hex(32).encode())
    secret = path.read_bytes()
    if len(secret) < MIN_SECRET_BYTES:
        raise SettingsError(
            f"{path} holds {len(secret)} bytes; a secret has at least {MIN_SECRET_BYTES}. Restore it from a backup, or "
            "delete it: a new one is made then, and API keys and links made with the old one are void."
        )
    return Secrets(secret)


def _write_once(path: Path, content: bytes) -> None:
    """Create a private file whole, unless another process did so first."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # before it has its name: after a power cut it must not be there empty
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def new_key() -> str:
    """A fresh API key: prefix, 48 random hex digits, and a CRC-32 so that a mistyped key is known offline."""
    body = secrets.token_hex(_KEY_RANDOM_BYTES)
    return f"{KEY_PREFIX}{body}{zlib.crc32(body.encode()):08x}"


def key_hint(token: str) -> str:
    """The start of a key, enough to tell keys apart in a list."""
    return token[:_HINT_LENGTH]
