"""GET /docs: the API's description to read and try out, by swagger-ui, from this server alone.

People type keys into this page. So nothing on it comes from elsewhere, and its policy lets the browser run no script
and ask no server but this one.
"""

from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from farebox.web.routing import Resource, exact_route, no_such_path
from farebox.web.static_file import StaticFile

_OWN: Final = files("farebox.web") / "static"
_SWAGGER_UI: Final = next((files("swagger_ui_bundle") / "vendor").iterdir())
"""Plain files of swagger-ui's own release, in a folder named by its version."""

_PAGE: Final = StaticFile(_OWN / "docs.html", "text/html")
_ASSETS: Final = {
    "docs.css": StaticFile(_OWN / "docs.css", "text/css"),
    "docs.js": StaticFile(_OWN / "docs.js", "text/javascript"),
    "swagger-ui-bundle.js": StaticFile(_SWAGGER_UI / "swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": StaticFile(_SWAGGER_UI / "swagger-ui.css", "text/css"),
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


def docs_routes() -> list[Route]:
    """Make the routes of the page and of what it is made of."""

    async def docs(request: Request) -> Response:
        return _answer(request, _PAGE)

    async def docs_asset(request: Request) -> Response:
        file = _ASSETS.get(request.path_params["name"])
        if file is None:
            raise no_such_path()
        return _answer(request, file)

    return [
        exact_route("/docs", Resource(get=docs)),
        exact_route("/docs/assets/{name}", Resource(get=docs_asset)),
    ]


def _answer(request: Request, file: StaticFile) -> Response:
    etag = f'"{file.digest}"'
    headers = {**_HEADERS, "ETag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(file.body, headers=headers, media_type=file.media_type)
