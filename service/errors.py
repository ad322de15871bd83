"""Everything the service raises on purpose.

::

    ServiceError
    ├── BadRequest              400  the request cannot be read (malformed JSON, no multipart file)
    ├── Unauthorized            401  no key, or one that is not ours or was revoked
    ├── PaymentRequired         402  the key's credits do not suffice
    ├── NotFound                404  no such record, or not of this key
    ├── MethodNotAllowed        405  the path is there, the method is not; says which are
    ├── Conflict                409  what is asked for exists already, or does not fit the state of things
    │   └── RepeatUnderWay      409  the first request with this Idempotency-Key is still being worked on
    ├── TooLarge                413  over a limit in bytes; names it
    ├── RangeNotSatisfiable     416  bytes of a file that lie outside it
    ├── Invalid                 422  a field is missing or wrong; names it
    ├── TooManyRequests         429  a limit of the key in time or number; says when to try again
    ├── SourceFetchFailed       451  the source audio could not be fetched
    │   └── AddressRefused      451  an address that must not be reached from here
    ├── NotOffered              501  an endpoint of the vendor's that is not offered here; names those that are
    ├── Draining                455  the process is about to end, and takes nothing new
    ├── Unavailable             503  what the service works with, its database first of all, is away just now
    │   └── StorageError        503  files cannot be stored or read just now; the log says why
    ├── PassOn                  (internal) the task's next stage is for workers of another queue
    └── LeaseLost               (internal) another worker owns the task now; what this one made is discarded

``code`` is what the Kie dialect puts in its envelope; each dialect decides the HTTP status from it.  ``name`` is the
machine-readable name that the native dialect shows, stable like the pipeline's ``code``.
"""

import errno

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ServiceError(Exception):
    """Base of everything raised on purpose by :mod:`service`.

    Args:
        message: for a person.
        code, name: others than the class's own.
    """

    code = 500
    name = "internal_error"

    def __init__(self, message: str, code: int | None = None, name: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.code if code is None else code
        self.name = self.name if name is None else name

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that belong to the answer."""
        return {}


class BadRequest(ServiceError):
    """The request cannot be read at all."""

    code = 400
    name = "bad_request"


class Unauthorized(ServiceError):
    """No key, or one that is unknown or revoked."""

    code = 401
    name = "unauthorized"

    @property
    def headers(self) -> dict[str, str]:
        """How to show a key, which this status must have."""
        return {"WWW-Authenticate": "Bearer"}


class PaymentRequired(ServiceError):
    """The key's credits do not suffice; the message says how many there are and how many it takes."""

    code = 402
    name = "insufficient_credits"


class NotFound(ServiceError):
    """No such record, or not one of the caller's."""

    code = 404
    name = "not_found"


class MethodNotAllowed(ServiceError):
    """The path is there, the method is not.

    Args:
        allow: the methods there are, as the ``Allow`` header lists them.
    """

    code = 405
    name = "method_not_allowed"

    def __init__(self, message: str, allow: str) -> None:
        super().__init__(message)
        self.allow = allow

    @property
    def headers(self) -> dict[str, str]:
        """``Allow``, which this status must have."""
        return {"Allow": self.allow}


class Conflict(ServiceError):
    """What is asked for exists already, or does not fit the state of things."""

    code = 409
    name = "conflict"


class RepeatUnderWay(Conflict):
    """The first request with this Idempotency-Key has not been answered yet."""

    name = "request_in_progress"

    @property
    def headers(self) -> dict[str, str]:
        """When to ask again."""
        return {"Retry-After": "1"}


class TooLarge(ServiceError):
    """Over a limit in bytes; the message names the limit."""

    code = 413
    name = "too_large"


class RangeNotSatisfiable(ServiceError):
    """Bytes of a file were asked for that lie outside it.

    Args:
        size_bytes: the file's length.
    """

    code = 416
    name = "range_not_satisfiable"

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"The range lies outside the file, which has {size_bytes} bytes.")
        self.size_bytes = size_bytes

    @property
    def headers(self) -> dict[str, str]:
        """``Content-Range``, by which clients learn the length."""
        return {"Content-Range": f"bytes */{self.size_bytes}"}


class Invalid(ServiceError):
    """A field is missing or wrong; the message names the field and what is allowed.

    Args:
        field: its name, where it is one.
    """

    code = 422
    name = "invalid"

    def __init__(
        self, message: str, code: int | None = None, name: str | None = None, *, field: str | None = None
    ) -> None:
        super().__init__(message, code, name)
        self.field = field


class TooManyRequests(ServiceError):
    """A limit of the key in time or number.

    Args:
        retry_after_s: when another try may do better, in whole seconds.
    """

    code = 429
    name = "too_many_requests"

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """When to try again."""
        return {"Retry-After": str(self.retry_after_s)}


class SourceFetchFailed(ServiceError):
    """The source audio could not be fetched."""

    code = 451
    name = "source_not_fetched"


class AddressRefused(SourceFetchFailed):
    """The address is not one that may be reached from here."""

    name = "address_refused"


class NotOffered(ServiceError):
    """An endpoint of the vendor's that is not offered here; the message names those that are."""

    code = 501
    name = "not_offered"


class Draining(ServiceError):
    """The process is about to end, and takes nothing new."""

    code = 455
    name = "maintenance"

    @property
    def headers(self) -> dict[str, str]:
        """When to try again: another process may be there by then."""
        return {"Retry-After": "5"}


class Unavailable(ServiceError):
    """What the service works with is away just now; the request was not carried out."""

    code = 503
    name = "unavailable"

    @property
    def headers(self) -> dict[str, str]:
        """When to try again: a database that restarts is there again by then."""
        return {"Retry-After": "5"}


class StorageError(Unavailable):
    """Files cannot be stored or read just now.

    Args:
        detail: why, for whoever runs the service; clients are not shown it.
    """

    def __init__(self, detail: str) -> None:
        super().__init__("The service's storage of files cannot be used just now; try again in a moment.")
        self.detail = detail


def is_full(error: BaseException) -> bool:
    """Whether a file could not be written for want of room: on the disk, of a quota, or under a limit of its size."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


class LeaseLost(ServiceError):
    """Another worker owns the task now; nothing this one made may be written."""


class PassOn(ServiceError):
    """The task's next stage is for workers of another queue.

    Args:
        queue: its name.
    """

    def __init__(self, queue: str) -> None:
        super().__init__(f"The next stage is for a worker of the queue {queue}.")
        self.queue = queue
