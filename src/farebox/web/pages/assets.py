"""What pages load: the style sheet and script of our own, and htmx; named by their content, so kept for ever."""

from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from farebox.web.routing import Resource, exact_route, no_such_path
from farebox.web.static_file import StaticFile

_OWN: Final = files("farebox.web") / "static"
_HTMX: Final = files("js_lib_htmx") / "static" / "htmx"
"""Plain files of htmx's own release; the package is for Django, but nothing of it is run."""

_FILES: Final = {
    "farebox.css": StaticFile(_OWN / "farebox.css", "text/css; charset=utf-8"),
    "farebox.js": StaticFile(_OWN / "farebox.js", "text/javascript; charset=utf-8"),
    "htmx.js": StaticFile(_HTMX / "htmx.min.js", "text/javascript; charset=utf-8"),
    "icon.svg": StaticFile(_OWN / "icon.svg", "image/svg+xml"),
}
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "public, max-age=31536000, immutable",
}


def asset_url(name: str) -> str:
    """Return the address of a file: another one whenever its content is."""
    return f"/assets/{_FILES[name].digest}/{name}"


def asset_route() -> Route:
    """Make the route of all files."""

    async def asset(request: Request) -> Response:
        file = _FILES.get(request.path_params["name"])
        if file is None or file.digest != request.path_params["digest"]:
            raise no_such_path()
        return Response(file.body, headers=_HEADERS, media_type=file.media_type)

    return exact_route("/assets/{digest}/{name}", Resource(get=asset))
