"""Large answers: compressed for those who take it, and not sent twice to those who have it.

What does not change any more is kept as bytes, so that a poll of a finished record builds and compresses nothing; it
is looked up in the database again once a second, because its record can be deleted by another process.
"""

import gzip
import hashlib
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
from litestar import MediaType, Request, Response
from litestar.status_codes import HTTP_200_OK, HTTP_304_NOT_MODIFIED

from service.api.etags import etag_matches

FRESH_S = 1.0
_MAX_BYTES = 64_000_000  # some 150 songs of 5 000 notes
_GZIP_LEVEL = 6
_MIN_GZIP_BYTES = 1000  # below a packet nothing is won


@dataclass(frozen=True)
class StoredAnswer:
    """A JSON body, and what a client needs in order not to be sent it twice.

    Attributes:
        expires_ms: when its record's time is over (Unix ms).
        version: of the record it shows, where that can change.
    """

    body: bytes
    expires_ms: int | None
    version: Hashable = None

    @cached_property
    def etag(self) -> str:
        """A weak validator: the compressed and the plain body are the same answer."""
        return f'W/"{hashlib.sha256(self.body).hexdigest()[:32]}"'

    @cached_property
    def gzipped(self) -> bytes:
        """The body in gzip."""
        return gzip.compress(self.body, _GZIP_LEVEL, mtime=0)

    @property
    def pays_to_compress(self) -> bool:
        """Whether compressed it is so much shorter that this matters."""
        return len(self.body) >= _MIN_GZIP_BYTES

    @property
    def n_bytes(self) -> int:
        """The memory that both of its forms take."""
        return len(self.body) + (len(self.gzipped) if self.pays_to_compress else 0)


class StoredAnswers:
    """The answers polled of late; the least recently polled go when they take too much memory."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, tuple[float, StoredAnswer]] = OrderedDict()
        self._n_bytes = 0

    def fresh(self, key: Hashable, now_ms: int) -> StoredAnswer | None:
        """An answer that was kept or confirmed within the last second, and whose record's time is not over."""
        answer = self.known(key)
        if answer is None or time.monotonic() - self._kept[key][0] > FRESH_S:
            return None
        return None if answer.expires_ms is not None and answer.expires_ms <= now_ms else answer

    def known(self, key: Hashable) -> StoredAnswer | None:
        """An answer that was kept; its record may be gone."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][1]

    def keep(self, key: Hashable, answer: StoredAnswer) -> StoredAnswer:
        """Keep an answer, or confirm one."""
        self.forget(key)
        self._kept[key] = (time.monotonic(), answer)
        self._n_bytes += answer.n_bytes
        while self._n_bytes > self._max_bytes:
            self.forget(next(iter(self._kept)))
        return answer

    def forget(self, key: Hashable) -> None:
        """Drop an answer, known or not."""
        if (dropped := self._kept.pop(key, None)) is not None:
            self._n_bytes -= dropped[1].n_bytes


def respond(request: Request[Any, Any, Any], answer: StoredAnswer) -> Response[Any]:
    """200 with the body, in gzip for clients that take it, or 304 for those that have it."""
    status, headers, body = negotiated(
        answer, request.headers.get("if-none-match"), request.headers.get("accept-encoding")
    )
    return Response(body or None, status_code=status, headers=headers, media_type=MediaType.JSON)


def negotiated(
    answer: StoredAnswer, if_none_match: str | None, accept_encoding: str | None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (but those of type and length) and body for a client, by the headers it sent."""
    headers = {"ETag": answer.etag, "Vary": "Accept-Encoding, Authorization", "Cache-Control": "private, no-cache"}
    if etag_matches(if_none_match, answer.etag):
        return HTTP_304_NOT_MODIFIED, headers, b""
    if answer.pays_to_compress and takes_gzip(accept_encoding or ""):
        return HTTP_200_OK, {**headers, "Content-Encoding": "gzip"}, answer.gzipped
    return HTTP_200_OK, headers, answer.body


def json_answer(request: Request[Any, Any, Any], body: msgspec.Struct) -> Response[Any]:
    """An answer that is not kept, in the same way."""
    return respond(request, StoredAnswer(msgspec.json.encode(body), None))


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client takes gzip (RFC 9110, 12.5.3): it names it, or ``*``, with a weight above 0."""
    weights = {}
    for item in accept_encoding.lower().split(","):
        coding, _, weight = item.partition(";")
        weights[coding.strip()] = weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return weights.get("gzip", weights.get("*", False))
