"""Settings: one table of names, defaults and explanations for the service, the command line and the README.

Each field of :class:`Settings` is the environment variable ``STEMSCRIBE_<NAME>`` and the key ``<name>`` of an
optional ``stemscribe.toml`` (in the working folder, or where ``STEMSCRIBE_CONFIG`` points).  The environment
wins over the file, the file over the default.
"""

import dataclasses
import importlib.util
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from pipeline.audio.limits import DecodeLimits
from pipeline.models.catalogue import CATALOGUE
from pipeline.models.store import default_root
from service.errors import ServiceError
from service.prices import parse_prices
from service.signatures import MIN_HMAC_KEY_LENGTH, is_hmac_key, parse_secrets

_PREFIX = "STEMSCRIBE_"
_CONFIG_VARIABLE = _PREFIX + "CONFIG"

MIN_SECRET_BYTES = 16  # 128 bits
MAX_PORT = 65_535
DEVICES = ("auto", "cuda", "mps", "cpu")
LOG_FORMATS = ("text", "json")
_TRUTHS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

# SQLAlchemy driver -> the package it needs: those whose locking and transactions the service was written for.
_DRIVERS = {"sqlite+aiosqlite": "aiosqlite", "postgresql+asyncpg": "asyncpg"}

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_S3_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^?#]*)?")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(ServiceError):
    """A setting has a value that cannot be used; the message names it."""


def _default_data_dir() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "stemscribe"


def _setting(default: object, about: str, *, is_secret: bool = False) -> Any:
    if callable(default):
        return field(default_factory=default, metadata={"about": about})
    return field(default=default, metadata={"about": about}, repr=not is_secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting with its default; see the metadata ``about`` of each for what it does."""

    data_dir: Path = _setting(_default_data_dir, "Folder of the embedded database, stored files and secrets.")
    host: str = _setting("127.0.0.1", "Address the API listens on.")
    port: int = _setting(8000, "Port the API listens on; 0 takes a free one.")
    public_url: str = _setting(
        "",
        "Base of the links handed out; default http://HOST:PORT, of this machine where HOST is every address: "
        "set it when clients are on other machines.",
    )
    database_url: str = _setting("", "SQLAlchemy address; default SQLite inside the data folder.", is_secret=True)
    redis_url: str = _setting(
        "",
        "Redis address (redis://HOST:6379/0) over which workers are told of new tasks at once; without it they look "
        "into the database every quarter of a second.",
        is_secret=True,
    )
    storage_url: str = _setting(
        "",
        "Where files are kept: s3://BUCKET or s3://BUCKET/PREFIX, with endpoint and credentials in the usual AWS_ "
        "variables; what no task has is deleted there, so one for each service; default a folder inside the data "
        "folder.",
    )
    storage_public_url: str = _setting(
        "",
        "Endpoint at which clients reach that S3 storage: downloads are redirected there by presigned links; "
        "default none, and the API passes the bytes on.",
    )
    models_dir: Path = _setting(default_root, "Folder of the downloaded weights.")
    separation_model: str = _setting("htdemucs", "Separation model, a name that `stemscribe models list` prints.")
    device: str = _setting("auto", "auto, cuda, mps or cpu.")
    allow_addresses: tuple[Network, ...] = _setting(
        (), "CIDRs, separated by commas, that callbacks and fetches may reach although they are not public."
    )
    retention_days: int = _setting(14, "Days after completion until a task's records and files are deleted.")
    max_upload_mb: int = _setting(200, "Largest accepted upload or fetched file, in MB (1 000 000 bytes).")
    max_audio_minutes: int = _setting(30, "Longest audio that is taken for anything but conversions, in minutes.")
    max_conversion_minutes: int = _setting(240, "Longest audio that is converted, cut or changed in speed, in minutes.")
    max_output_mb: int = _setting(
        5000, "Largest file that such a task may make, in MB: half an hour may become hours at a quarter of the speed."
    )
    source_buckets: str = _setting(
        "",
        "S3 buckets, separated by commas, that clients may name as s3://BUCKET/KEY, with endpoint and credentials as "
        "for the storage; default the storage's own, without what is kept there; `none` for none.",
    )
    lease_seconds: int = _setting(30, "How long a silent worker keeps a task before another may take it.")
    grace_seconds: int = _setting(20, "How long a process that is told to stop finishes what it does.")
    worker_tasks: int = _setting(0, "Tasks a worker does at once; 0 is one on a CPU, and four on a GPU.")
    worker_port: int = _setting(0, "Port of a worker's own /health and /metrics; 0 is none.")
    reuse_results: bool = _setting(True, "Whether the same audio with the same settings is worked on only once.")
    log_format: str = _setting("text", "text, or json for one JSON object a line.")
    rate_limit_tasks: int = _setting(20, "New tasks a key may ask for at once, and in each window; 0 is no limit.")
    rate_limit_seconds: int = _setting(10, "Length of that window, in seconds.")
    max_tasks_in_flight: int = _setting(1000, "Tasks of one key that may be queued or running; 0 is no limit.")
    prices: str = _setting(
        "separation=10, midi=5, wav=1, transcription=15, audio_to_midi=15, extraction=10, key_bpm=2, conversion=1, "
        "cut=1, speed=1",
        "Credits a task costs: KIND=CREDITS, or KIND=CREDITS+CREDITS/min for each minute of audio too; a kind that is "
        "not named costs what the one does that it is most like (audio_to_midi as transcription), or nothing.",
    )
    secret: str = _setting(
        "", "Signs links and keys' digests; default a random one kept in the data folder.", is_secret=True
    )
    webhook_hmac_key: str = _setting(
        "",
        "Key of the callbacks' X-Webhook-Signature; default one made from the server's secret, which "
        "`stemscribe webhooks secrets` prints.",
        is_secret=True,
    )
    webhook_secret: str = _setting(
        "",
        "Standard Webhooks secret of the callbacks, whsec_ and base64 of 24 to 64 bytes; or several, separated by "
        "commas, newest first, while one replaces another; default one made from the server's secret.",
        is_secret=True,
    )

    def __post_init__(self) -> None:
        for name, least in (
            ("port", 0), ("retention_days", 1), ("max_upload_mb", 1), ("max_audio_minutes", 1), ("lease_seconds", 3),
            ("max_conversion_minutes", 1), ("max_output_mb", 1),
            ("grace_seconds", 0), ("worker_tasks", 0), ("worker_port", 0),
            ("rate_limit_tasks", 0), ("rate_limit_seconds", 1), ("max_tasks_in_flight", 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise SettingsError(f"{_PREFIX}{name.upper()} must be at least {least}, not {getattr(self, name)}.")
        if self.device not in DEVICES:
            raise SettingsError(f"{_PREFIX}DEVICE must be auto, cuda, mps or cpu, not {self.device!r}.")
        if self.log_format not in LOG_FORMATS:
            raise SettingsError(f"{_PREFIX}LOG_FORMAT must be text or json, not {self.log_format!r}.")
        for name in ("port", "worker_port"):
            if getattr(self, name) > MAX_PORT:
                raise SettingsError(f"{_PREFIX}{name.upper()} must be at most {MAX_PORT}, not {getattr(self, name)}.")
        separators = [entry.name for entry in CATALOGUE.values() if entry.purpose == "separation"]
        if self.separation_model not in separators:
            raise SettingsError(
                f"{_PREFIX}SEPARATION_MODEL must be one of {', '.join(separators)}, not {self.separation_model!r}."
            )
        try:
            parse_prices(self.prices)
        except ValueError as error:
            raise SettingsError(f"{_PREFIX}PRICES: {error}.") from error
        if self.secret and len(self.secret.encode()) < MIN_SECRET_BYTES:
            raise SettingsError(f"{_PREFIX}SECRET must have at least {MIN_SECRET_BYTES} bytes.")
        if self.webhook_hmac_key and not is_hmac_key(self.webhook_hmac_key):
            raise SettingsError(
                f"{_PREFIX}WEBHOOK_HMAC_KEY must have at least {MIN_HMAC_KEY_LENGTH} characters: letters, digits and "
                "other ASCII signs, no white space."
            )
        if self.webhook_secret:
            _check_webhook_secret(self.webhook_secret)
        if self.database_url:
            _check_database_url(self.database_url)
        if self.redis_url:
            _check_redis_url(self.redis_url)
        buckets = [bucket.strip() for bucket in self.source_buckets.split(",") if bucket.strip()]
        for bucket in buckets:
            if not _BUCKET.fullmatch(bucket) or (bucket == "none" and len(buckets) > 1):
                raise SettingsError(f"{_PREFIX}SOURCE_BUCKETS must be names of buckets, or `none`, not {bucket!r}.")
        if self.storage_url and not _S3_URL.fullmatch(self.storage_url):
            raise SettingsError(f"{_PREFIX}STORAGE_URL must be s3://BUCKET or s3://BUCKET/PREFIX.")
        for name in ("public_url", "storage_public_url"):
            address = getattr(self, name)
            if address and not address.startswith(("http://", "https://")):
                raise SettingsError(f"{_PREFIX}{name.upper()} must be an http or https address.")

    @property
    def resolved_public_url(self) -> str:
        """Base of public links, without a trailing slash."""
        return (self.public_url or f"http://{_host_of_links(self.host)}:{self.port}").rstrip("/")

    @property
    def resolved_database_url(self) -> str:
        """The database's SQLAlchemy address, with an async driver."""
        own = URL.create("sqlite+aiosqlite", database=str(self.data_dir / "stemscribe.db"))
        return self.database_url or own.render_as_string()

    @property
    def max_upload_bytes(self) -> int:
        """Largest accepted file in bytes."""
        return self.max_upload_mb * 1_000_000

    @property
    def decode_limits(self) -> DecodeLimits:
        """What the decoder accepts."""
        return DecodeLimits(max_duration_s=self.max_audio_minutes * 60.0, max_file_bytes=self.max_upload_bytes)

    @property
    def conversion_limits(self) -> DecodeLimits:
        """What the decoder accepts of audio that is only converted, and how long it may take."""
        longest = dataclasses.replace(self.decode_limits, max_duration_s=self.max_conversion_minutes * 60.0)
        return longest.with_time_for_length()

    @property
    def retention_ms(self) -> int:
        """How long results are kept, in milliseconds."""
        return self.retention_days * 24 * 3600 * 1000

    def environment(self) -> dict[str, str]:
        """The settings as environment variables, so that a child process sees exactly these."""
        return {_PREFIX + item.name.upper(): _to_text(getattr(self, item.name)) for item in dataclasses.fields(self)}


def _host_of_links(host: str) -> str:
    """The host in links to an API that listens on ``host``: one can listen on every address, but not link to it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host or "127.0.0.1"
    if address.version == 4:
        return "127.0.0.1" if address.is_unspecified else host
    return "[::1]" if address.is_unspecified else f"[{host}]"


def _check_webhook_secret(text: str) -> None:
    try:
        parse_secrets(text)
    except ValueError as error:  # tells what is wrong without the value
        raise SettingsError(
            f"{_PREFIX}WEBHOOK_SECRET must be whsec_ and base64 of 24 to 64 bytes, or several of these, separated by "
            f"commas: {error}."
        ) from None


def _check_database_url(text: str) -> None:
    name = f"{_PREFIX}DATABASE_URL"  # its value is not shown: it may hold a password
    try:
        driver = make_url(text).drivername
    except (ArgumentError, ValueError) as error:
        raise SettingsError(
            f"{name} is no database address. Write postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE (with what is "
            "special in an address percent-encoded), or sqlite+aiosqlite:////FOLDER/FILE."
        ) from error
    if driver not in _DRIVERS:
        raise SettingsError(
            f"{name} must begin with {' or '.join(f'{known}://' for known in _DRIVERS)}, not {driver}://."
        )
    package = _DRIVERS[driver]
    if importlib.util.find_spec(package) is None:
        raise SettingsError(
            f"{name} needs the Python package {package}, which is not installed. "
            "The extra `postgres` brings it: uv pip install -e '.[postgres]'"
        )


def _check_redis_url(text: str) -> None:
    name = f"{_PREFIX}REDIS_URL"  # its value is not shown: it may hold a password
    if not text.startswith(("redis://", "rediss://", "unix://")):
        raise SettingsError(f"{name} must begin with redis://, rediss:// or unix://.")
    if importlib.util.find_spec("arq") is None:
        raise SettingsError(
            f"{name} needs the Python package arq, which is not installed. "
            "The extra `redis` brings it: uv pip install -e '.[redis]'"
        )


def _to_text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value)


def _whole_number(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"{_PREFIX}{name.upper()} must be a whole number, not {text!r}.") from None


def _truth(name: str, text: str) -> bool:
    try:
        return _TRUTHS[text.strip().lower()]
    except KeyError:
        raise SettingsError(f"{_PREFIX}{name.upper()} must be true or false, not {text!r}.") from None


def _parse(name: str, value: object, like: object) -> object:
    """Convert a text or TOML value to the type of the field's default."""
    try:
        if isinstance(like, Path):
            return Path(str(value)).expanduser().absolute()
        if isinstance(like, bool):
            return _truth(name, str(value))
        if isinstance(like, int):
            return _whole_number(name, str(value))
        if isinstance(like, tuple):
            items = value if isinstance(value, list) else str(value).split(",")
            return tuple(ipaddress.ip_network(str(item).strip()) for item in items if str(item).strip())
        return str(value)
    except ValueError as error:
        raise SettingsError(f"{_PREFIX}{name.upper()} has a value that cannot be used: {value!r} ({error}).") from error


def load_settings(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Read the settings from the environment and ``stemscribe.toml``.

    Args:
        environ: the environment; ``os.environ`` when None.
        overrides: values that win over both, as the command line's options do; None means not given.

    Raises:
        SettingsError: a value that cannot be used or an unknown key in the file.
    """
    environ = os.environ if environ is None else environ
    config = Path(environ.get(_CONFIG_VARIABLE) or "stemscribe.toml")
    from_file: dict[str, object] = {}
    if config.is_file():
        try:
            from_file = tomllib.loads(config.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise SettingsError(f"{config} is not valid TOML: {error}") from error
    defaults = Settings()
    known = {item.name for item in dataclasses.fields(Settings)}
    if unknown := sorted(set(from_file) - known):
        raise SettingsError(f"{config} has unknown settings: {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")
    values: dict[str, Any] = {}
    for name in known:
        like = getattr(defaults, name)
        if (given := overrides.get(name)) is not None:
            values[name] = _parse(name, given, like)
        elif (text := environ.get(_PREFIX + name.upper())) is not None:
            values[name] = _parse(name, text, like)
        elif name in from_file:
            values[name] = _parse(name, from_file[name], like)
    return Settings(**values)


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Environment variables that look like settings but are none: misspelt ones, most likely."""
    known = {_PREFIX + item.name.upper() for item in dataclasses.fields(Settings)} | {_CONFIG_VARIABLE}
    return sorted(name for name in environ if name.startswith(_PREFIX) and name not in known)
