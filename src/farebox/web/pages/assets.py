"""What pages load: the style sheet and script of our own, and htmx; named by their content, so kept for ever."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from farebox.web.routing import Resource, exact_route, no_such_path

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
    digest: str


def asset_url(name: str) -> str:
    """Return the address of a file: another one whenever its content is."""
    return f"/assets/{_file(name).digest}/{name}"


def asset_route() -> Route:
    """Make the route of all files."""

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _SOURCES or _file(name).digest != request.path_params["digest"]:
            raise no_such_path()
        file = _file(name)
        return Response(file.body, headers=_HEADERS, media_type=file.media_type)

    return exact_route("/assets/{digest}/{name}", Resource(get=asset))


@cache
def _file(name: str) -> _File:
    """Read a file once, when it is first asked for."""
    source, media_type = _SOURCES[name]
    body = source.read_bytes()
    return _File(body, media_type, hashlib.blake2b(body, digest_size=_DIGEST_BYTES).hexdigest())
