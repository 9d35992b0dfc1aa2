"""The API of `asgi_apps` behind the WSGI middleware, for Flask and for Django: routes or handlers have prices."""

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import django.conf  # type: ignore[import-untyped]
import django.core.wsgi  # type: ignore[import-untyped]
import django.http  # type: ignore[import-untyped]
import django.urls  # type: ignore[import-untyped]
import flask

from farebox_client.middleware import (
    BlockingCharging,
    WsgiMiddleware,
    charge_for,
    count_for,
    priced,
)
from tests.client.asgi_apps import Failed, Handled


def image(handled: Handled, query: Any) -> int:
    """Take some time, fail if that is asked, and tell the status of the answer."""
    handled.count += 1
    time.sleep(float(query.get("wait", 0)))
    handled.ended += 1
    if "fail" in query:
        raise Failed
    return int(query.get("status", 200))


def pieces(handled: Handled, request: Any, query: Any) -> Iterator[bytes]:
    """Yield pieces of two units each, which are counted before."""
    try:
        for number in range(int(query.get("pieces", 5))):
            if number == int(query.get("fail_at", -1)):
                raise Failed
            count_for(request, {"output": 2})
            yield b"piece %d\n" % number
            handled.pieces += 1
            time.sleep(float(query.get("every", 0)))
    finally:
        handled.ended += 1


def parts(query: Any) -> Iterator[bytes]:
    """Yield an answer that has one price."""
    for number in range(100):
        yield b"part %d\n" % number
        time.sleep(float(query.get("every", 0)))


def flask_app(charging: BlockingCharging, handled: Handled) -> Any:
    """Flask's own way."""
    app = flask.Flask(__name__)
    app.logger.disabled = True

    @app.get("/v1/image")
    def show_image() -> Any:
        return {}, image(handled, flask.request.args)

    @app.get("/v1/chat")
    def chat() -> Any:
        charge_for(flask.request, quantities={"input": 10, "output": int(flask.request.args["output"])})
        return {}

    @app.get("/v1/stream")
    def stream() -> Any:
        request, query = flask.request.environ, flask.request.args
        return flask.Response(pieces(handled, request, query))

    @app.get("/v1/file")
    def file() -> Any:
        return flask.Response(parts(flask.request.args))

    @app.get("/v1/later")
    def later() -> Any:
        charge_for(flask.request, type="call", amount=flask.request.args["amount"])
        return {}

    @app.get("/own/image")
    @priced("image")
    def own_image() -> Any:
        handled.count += 1
        return {}, int(flask.request.args.get("status", 200))

    @app.get("/health")
    def health() -> Any:
        return {}

    return WsgiMiddleware(app.wsgi_app, charging)


def django_app(charging: BlockingCharging, handled: Handled) -> Any:
    """The same in Django, whose settings are the process's: the last application made is served."""

    def show_image(request: Any) -> Any:
        return django.http.JsonResponse({}, status=image(handled, request.GET))

    def chat(request: Any) -> Any:
        charge_for(request, quantities={"input": 10, "output": int(request.GET["output"])})
        return django.http.JsonResponse({})

    def stream(request: Any) -> Any:
        return django.http.StreamingHttpResponse(pieces(handled, request, request.GET))

    def file(request: Any) -> Any:
        return django.http.StreamingHttpResponse(parts(request.GET))

    def later(request: Any) -> Any:
        charge_for(request, type="call", amount=request.GET["amount"])
        return django.http.JsonResponse({})

    @priced("image")
    def own_image(request: Any) -> Any:
        handled.count += 1
        return django.http.JsonResponse({}, status=int(request.GET.get("status", 200)))

    def health(_: Any) -> Any:
        return django.http.JsonResponse({})

    views: dict[str, Callable[[Any], Any]] = {
        "own/image": own_image,
        "health": health,
        "v1/image": show_image,
        "v1/chat": chat,
        "v1/stream": stream,
        "v1/file": file,
        "v1/later": later,
    }
    if not django.conf.settings.configured:
        django.conf.settings.configure(
            SECRET_KEY=secrets.token_hex(), ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None, MIDDLEWARE=[]
        )
    django.conf.settings.ROOT_URLCONF = tuple(django.urls.path(path, view) for path, view in views.items())
    return WsgiMiddleware(django.core.wsgi.get_wsgi_application(), charging)


FRAMEWORKS: Final[dict[str, Callable[[BlockingCharging, Handled], Any]]] = {"flask": flask_app, "django": django_app}
