"""Headers of a request that is not built yet: middlewares look at every poll, and need one or two of them."""

from litestar.types import HTTPScope


def header(scope: HTTPScope, name: bytes) -> str | None:
    """The first header of that name, which is given in lower case; None where there is none."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)
