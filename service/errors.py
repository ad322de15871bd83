"""Everything the service raises on purpose.

::

    ServiceError
    ├── BadRequest              400  the request cannot be read (malformed JSON, no multipart file)
    ├── Unauthorized            401  no key, or one that is not ours or was revoked
    ├── NotFound                404  no such record, or not of this key
    ├── TooLarge                413  over a limit in bytes; names it
    ├── Invalid                 422  a field is missing or wrong; names it
    ├── SourceFetchFailed       451  the source audio could not be fetched
    │   └── AddressRefused      451  an address that must not be reached from here
    └── LeaseLost               (internal) another worker owns the task now; what this one made is discarded

``code`` is what the Kie dialect puts in its envelope; each dialect decides the HTTP status from it.
"""


class ServiceError(Exception):
    """Base of everything raised on purpose by :mod:`service`.

    Args:
        message: for a person.
        code: another code than the class's own.
    """

    code = 500

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.code if code is None else code


class BadRequest(ServiceError):
    """The request cannot be read at all."""

    code = 400


class Unauthorized(ServiceError):
    """No key, or one that is unknown or revoked."""

    code = 401


class NotFound(ServiceError):
    """No such record, or not one of the caller's."""

    code = 404


class TooLarge(ServiceError):
    """Over a limit in bytes; the message names the limit."""

    code = 413


class Invalid(ServiceError):
    """A field is missing or wrong; the message names the field and what is allowed."""

    code = 422


class SourceFetchFailed(ServiceError):
    """The source audio could not be fetched."""

    code = 451


class AddressRefused(SourceFetchFailed):
    """The address is not one that may be reached from here."""


class LeaseLost(ServiceError):
    """Another worker owns the task now; nothing this one made may be written."""
