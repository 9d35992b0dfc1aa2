"""What pages load: the style sheet and script of our own, and htmx; named by their content, so kept for ever."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any, Final

from litestar import Request, Response, route
from litestar.enums import HttpMethod
from litestar.exceptions import NotFoundException
from litestar.handlers import BaseRouteHandler
from msgspec import Struct

_OWN: Final = files("farebox.web") / "static"
_HTMX: Final = files("js_lib_htmx") / "static" / "htmx"
"""Plain files of htmx's own release; the package is for Django, but nothing of it is run."""

_SOURCES: Final = {
    "farebox.css": (_OWN / "farebox.css", "text/css; charset=utf-8"),
    "farebox.js": (_OWN / "farebox.js", "text/javascript; charset=utf-8"),
    "htmx.js": (_HTMX / "htmx.min.js", "text/javascript; charset=utf-8"),
    "icon.svg": (_OWN / "icon.svg", "image/svg+xml"),
}
_DIGEST_BYTES: Final = 8
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "public, max-age=31536000, immutable",
}


class _File(Struct, frozen=True):
    body: bytes
    media_type: str
    mark: str


def asset_url(name: str) -> str:
    """Return the address of a file: another one whenever its content is."""
    return f"/assets/{_file(name).mark}/{name}"


def asset_handler() -> BaseRouteHandler:
    """Make the handler of all files."""

    @route("/assets/{mark:str}/{name:str}", http_method=[HttpMethod.GET, HttpMethod.HEAD], include_in_schema=False)
    async def asset(request: Request[Any, Any, Any]) -> Response[bytes]:
        name = request.path_params["name"]
        if name not in _SOURCES or _file(name).mark != request.path_params["mark"]:
            raise NotFoundException
        file = _file(name)
        return Response(file.body, media_type=file.media_type, headers=_HEADERS)

    return asset


@cache
def _file(name: str) -> _File:
    """Read a file once, when it is first asked for."""
    source, media_type = _SOURCES[name]
    body = source.read_bytes()
    return _File(body, media_type, hashlib.blake2b(body, digest_size=_DIGEST_BYTES).hexdigest())
