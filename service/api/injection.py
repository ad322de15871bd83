"""What route handlers are given, under short names."""

from typing import Any, TypeAlias

from litestar import Request
from litestar.di import NamedDependency

from service.context import Context
from service.db.models import ApiKey

Injected: TypeAlias = NamedDependency[Context]
"""A handler's parameter ``context``: the process's :class:`Context`."""

KeyRequest: TypeAlias = Request[ApiKey, Any, Any]
"""A request whose key was checked; it is ``request.user``."""
