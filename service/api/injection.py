"""What route handlers are given, under short names."""

from typing import Any, TypeAlias

from litestar import Request
from litestar.di import NamedDependency

from service.api.auth import Caller
from service.context import Context

Injected: TypeAlias = NamedDependency[Context]
"""A handler's parameter ``context``: the process's :class:`Context`."""

KeyRequest: TypeAlias = Request[Caller, Any, Any]
"""A request whose key was checked; ``request.user`` says who asks."""
