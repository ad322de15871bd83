"""``/schema``: the API's document, and a page that shows it, both from this machine alone.

The page is Swagger UI; its files come from the wheel ``drf-spectacular-sidecar``, which is the best kept carrier of
them (a release a month).  Nothing of that package is imported: it is only their carrier, as basic-pitch is of its
network.  The Content-Security-Policy forbids the browser every other host, so the page works where there is no
network, and tells nobody that it was opened.
"""

import functools
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response, Router, get
from litestar.datastructures import ResponseHeader
from litestar.enums import MediaType, OpenAPIMediaType
from litestar.exceptions import NotFoundException
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.params import FromPath

from service.api.documentation import complete

SCHEMA_PATH = "/schema"
_DOCUMENT = "/openapi.json"
_ASSETS = "/assets"

_CARRIER = "drf-spectacular-sidecar"
_FOLDER = "drf_spectacular_sidecar/static/drf_spectacular_sidecar/swagger-ui-dist"
_CARRIED = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "favicon-32x32.png": "image/png"}

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Swagger UI sets style attributes
        "img-src 'self' data:",  # its style sheet holds its icons
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
_CACHE_FOR_A_DAY = {"Cache-Control": "public, max-age=86400"}  # the files change with an upgrade only

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="{root}{assets}/favicon-32x32.png">
<link rel="stylesheet" href="{root}{assets}/swagger-ui.css">
</head>
<body>
<div id="page" data-document="{root}{document}"></div>
<script src="{root}{assets}/swagger-ui-bundle.js"></script>
<script src="{root}{assets}/page.js"></script>
</body>
</html>
"""

# validatorUrl: without it, the page of a service with a public name would send the document's address to a validator.
_SCRIPT = """"use strict";
SwaggerUIBundle({
  url: document.getElementById("page").dataset.document,
  domNode: document.getElementById("page"),
  deepLinking: true,
  validatorUrl: null,
});
"""


class DocumentPlugin(OpenAPIRenderPlugin):
    """The document as JSON, made once."""

    def __init__(self) -> None:
        super().__init__(path=_DOCUMENT, media_type=OpenAPIMediaType.OPENAPI_JSON)
        self._rendered: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The completed document."""
        if self._rendered is None:
            self._rendered = msgspec.json.encode(complete(openapi_schema))
        return self._rendered


class PagePlugin(OpenAPIRenderPlugin):
    """The page; below the prefix that a proxy in front of the service takes away, if it names it (root_path)."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.HTML)

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page's HTML."""
        root = request.scope.get("root_path", "").rstrip("/") + SCHEMA_PATH
        title = openapi_schema["info"]["title"]
        return _PAGE.format(title=title, root=root, assets=_ASSETS, document=_DOCUMENT).encode()


@functools.cache
def _asset(name: str) -> bytes:
    if name == "page.js":
        return _SCRIPT.encode()
    return Path(str(distribution(_CARRIER).locate_file(f"{_FOLDER}/{name}"))).read_bytes()


@get(_ASSETS + "/{name:str}", sync_to_thread=True)
def asset(name: FromPath[str]) -> Response[bytes]:
    """One of the page's own files."""
    media_type = "text/javascript" if name == "page.js" else _CARRIED.get(name)
    if media_type is None:
        raise NotFoundException
    return Response(_asset(name), media_type=media_type, headers=_CACHE_FOR_A_DAY)


def schema_router() -> Router:
    """Where the plugins put the page and the document."""
    headers = [ResponseHeader(name=name, value=value) for name, value in _HEADERS.items()]
    return Router(SCHEMA_PATH, route_handlers=[asset], response_headers=headers, include_in_schema=False)
