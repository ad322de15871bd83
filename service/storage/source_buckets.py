"""Audio that clients name as an object of S3, ``s3://BUCKET/KEY``: in which buckets, and how it is had.

Only buckets that the operator named can be read, or else the storage's own.  What services like this one keep there is
left out, since its keys follow from contents that a client may know without owning them.
"""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import Invalid, NotFound, SourceFetchFailed, StorageError, TooLarge
from service.names import clean_name
from service.net.fetch import Fetched
from service.settings import Settings
from service.storage.base import append_block

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Store

# A key with a slash at either end is none here: the client of S3 drops that slash, and would read another object.
_ADDRESS = re.compile(r"s3://(?P<bucket>[^/]+)/(?P<key>[^/](?:.*[^/])?)", re.DOTALL | re.IGNORECASE)
_MAX_LENGTH = 1100  # S3's own limit of a key is 1024 bytes
_BLOCK_BYTES = 1 << 20
# What a service like this keeps, wherever: a bucket may be shared by several, each below a prefix of its own.
_KEPT = re.compile(r"(.*/)?objects/[0-9a-f]{2}/[0-9a-f]{64}", re.DOTALL)
_CLIENT: "ClientConfig" = {
    "allow_http": True,  # the endpoint says which it is
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=30),
    "timeout": timedelta(hours=1),
}
_RETRIES: "RetryConfig" = {"max_retries": 2, "retry_timeout": timedelta(seconds=5)}


def is_object_address(address: str) -> bool:
    """Whether this is meant as an object of S3."""
    return address[:5].lower() == "s3://"


class SourceBuckets:
    """Reads objects that clients name.

    Args:
        settings: name the buckets; endpoint and credentials are in the usual ``AWS_`` variables.
    """

    def __init__(self, settings: Settings) -> None:
        own_bucket = settings.storage_url.removeprefix("s3://").partition("/")[0]
        named = [name.strip() for name in settings.source_buckets.split(",") if name.strip()]
        self._buckets = set(named) - {"none"} if named else {own_bucket} - {""}
        self._stores: dict[str, S3Store] = {}

    async def check(self, field: str, address: str) -> None:
        """Be sure that there is such an object.

        Raises:
            Invalid: no such address, or of a bucket that may not be read.
            NotFound: there is no such object.
            SourceFetchFailed: it may not be read with this service's credentials.
            StorageError: the server cannot be asked just now.
        """
        bucket, key = self._parsed(field, address)
        import obstore

        try:
            with _telling(bucket, key):
                await obstore.head_async(self._store(bucket), key)
        except ValueError as error:  # of the client of S3, which takes no key with empty parts, dots or control signs
            raise Invalid(f"{field}: the key {key[:200]!r} is not one that can be read.", field=field) from error

    async def fetch(self, address: str, to: Path, *, max_bytes: int) -> Fetched:
        """Fetch an object into the file ``to``.

        Raises:
            Invalid: no such address, or of a bucket that may not be read any more.
            NotFound: there is no such object.
            SourceFetchFailed: it may not be read with this service's credentials.
            StorageError: the server cannot be asked just now, or broke off.
            TooLarge: it is longer than ``max_bytes``.
        """
        import obstore

        bucket, key = self._parsed("the source", address)
        too_large = TooLarge(f"{_shown(bucket, key)} is larger than the limit of {max_bytes / 1e6:g} MB.")
        digest, n_bytes = hashlib.sha256(), 0
        with _telling(bucket, key):
            answer = await obstore.get_async(self._store(bucket), key)
            if answer.meta["size"] > max_bytes:
                raise too_large
            await asyncio.to_thread(to.write_bytes, b"")
            async for block in answer.stream(min_chunk_size=_BLOCK_BYTES):
                n_bytes += len(block)
                if n_bytes > max_bytes:
                    raise too_large
                await asyncio.to_thread(append_block, to, bytes(block))
                digest.update(block)
        if n_bytes != answer.meta["size"]:
            raise StorageError(f"{_shown(bucket, key)} ended after {n_bytes} of {answer.meta['size']} bytes")
        return Fetched(clean_name(key), n_bytes, digest.hexdigest())

    def _parsed(self, field: str, address: str) -> tuple[str, str]:
        found = _ADDRESS.fullmatch(address) if len(address) <= _MAX_LENGTH else None
        if found is None:
            raise Invalid(f"{field} must be s3://BUCKET/KEY, of at most {_MAX_LENGTH} characters.", field=field)
        if not self._buckets:
            raise Invalid(
                f"{field}: s3:// addresses are not taken here; the settings STEMSCRIBE_STORAGE_URL and "
                "STEMSCRIBE_SOURCE_BUCKETS name no bucket. Give an http(s) address, or the file itself.",
                field=field,
            )
        bucket, key = found.groups()
        if bucket not in self._buckets:
            raise Invalid(f"{field}: the bucket {bucket[:63]!r} is not one that may be read here.", field=field)
        if _KEPT.fullmatch(key):
            raise _no_such(bucket, key)
        return bucket, key

    def _store(self, bucket: str) -> "S3Store":
        from obstore.store import S3Store  # only where it is wanted: a client of S3 takes a while to load

        if bucket not in self._stores:
            self._stores[bucket] = S3Store(bucket, client_options=_CLIENT, retry_config=_RETRIES)
        return self._stores[bucket]


@contextlib.contextmanager
def _telling(bucket: str, key: str) -> Iterator[None]:
    """Raise what goes wrong as one of ours: of the object, or of the storage that is away."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        yield
    except FileNotFoundError as error:
        raise _no_such(bucket, key) from error
    except (PermissionError, PermissionDeniedError, UnauthenticatedError) as error:
        raise SourceFetchFailed(f"{_shown(bucket, key)} may not be read with this service's credentials.") from error
    except BaseError as error:
        raise StorageError(f"reading {_shown(bucket, key)}: {error}") from error


def _shown(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{key[:200]}"


def _no_such(bucket: str, key: str) -> NotFound:
    return NotFound(f"There is no object {_shown(bucket, key)}.")
