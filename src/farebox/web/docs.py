"""GET /docs: the API's description to read and try out, by swagger-ui, from this server alone.

People type keys into this page. So nothing on it comes from elsewhere, and its policy lets the browser run no script
and ask no server but this one.
"""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any, Final

from litestar import Request, Response, route
from litestar.enums import HttpMethod
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler
from msgspec import Struct

_METHODS: Final = [HttpMethod.GET, HttpMethod.HEAD]
_OWN: Final = files("farebox.web") / "static"
_SWAGGER_UI: Final = files("mkdocs_swagger_ui_tag") / "swagger-ui"
"""Plain files of swagger-ui's own release; the package is for other pages, but nothing of it is run."""

_PAGE: Final = (_OWN / "docs.html", "text/html")
_ASSETS: Final = {
    "docs.css": (_OWN / "docs.css", "text/css"),
    "docs.js": (_OWN / "docs.js", "text/javascript"),
    "swagger-ui-bundle.js": (_SWAGGER_UI / "javascripts" / "swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": (_SWAGGER_UI / "stylesheets" / "swagger-ui.css", "text/css"),
}
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        # Swagger-ui's style sheet has its icons in itself.
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    # A browser asks each time, and is told in a word that what it has is what there is.
    "Cache-Control": "no-cache",
}


class _File(Struct, frozen=True):
    body: bytes
    media_type: str
    etag: str


def docs_handlers() -> list[BaseRouteHandler]:
    """Make the handlers of the page and of what it is made of."""

    @route("/docs", http_method=_METHODS, include_in_schema=False, sync_to_thread=False)
    def docs(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _answer(request, None)

    @route("/docs/assets/{name:str}", http_method=_METHODS, include_in_schema=False, sync_to_thread=False)
    def docs_asset(request: Request[Any, Any, Any]) -> Response[bytes]:
        name = request.path_params["name"]
        if name not in _ASSETS:
            raise NotFoundException
        return _answer(request, name)

    return [docs, docs_asset]


def _answer(request: Request[Any, Any, Any], name: str | None) -> Response[bytes]:
    file = _file(name)
    headers = {**_HEADERS, "ETag": file.etag}
    if request.headers.get("if-none-match") == file.etag:
        return Response(b"", status_code=304, headers=headers)
    return Response(file.body, media_type=file.media_type, headers=headers)


@cache
def _file(name: str | None) -> _File:
    """Read a file once, when it is first asked for; None is the page."""
    source, media_type = _PAGE if name is None else _ASSETS[name]
    body = source.read_bytes()
    return _File(body, media_type, f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"')
