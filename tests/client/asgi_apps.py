"""A small API behind the ASGI middleware, written for each framework: its routes or its handlers have prices."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import litestar
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse as FastJSONResponse
from fastapi.responses import StreamingResponse as FastStreamingResponse
from litestar.datastructures import State
from litestar.middleware import DefineMiddleware
from litestar.response import Response as LitestarResponse
from litestar.response import Stream
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from farebox_client.middleware.asgi import AsgiMiddleware
from farebox_client.middleware.charging import Charging
from farebox_client.middleware.priced import priced
from farebox_client.middleware.request_charge import charge_for, count_for, waive
from farebox_client.middleware.routes import charged, free, metered

ROUTES: Final = (
    charged("GET", "/v1/image", "image"),
    metered("GET", "/v1/chat", "chat", up_to={"input": 100, "output": 100}),
    metered("GET", "/v1/stream", "chat", up_to={"input": 0, "output": 10}),
    charged("GET", "/v1/file", "image"),
    metered("GET", "/v1/later"),
    metered("WEBSOCKET", "/v1/live", "chat", up_to={"input": 0, "output": 10}),
    free("GET", "/health"),
)


class Failed(Exception):
    """The handler failed."""


class Handled:
    """A count of what the handlers of an application did."""

    def __init__(self) -> None:
        self.count = 0
        self.pieces = 0
        self.ended = 0


async def image(handled: Handled, query: Any) -> int:
    """Take some time, fail if that is asked, and tell the status of the answer."""
    handled.count += 1
    await asyncio.sleep(float(query.get("wait", 0)))
    handled.ended += 1
    if "fail" in query:
        raise Failed
    return int(query.get("status", 200))


async def pieces(handled: Handled, request: Any, query: Any) -> AsyncIterator[bytes]:
    """Yield pieces of two units each, which are counted before."""
    try:
        for number in range(int(query.get("pieces", 5))):
            if number == int(query.get("fail_at", -1)):
                raise Failed
            count_for(request, {"output": 2})
            yield b"piece %d\n" % number
            handled.pieces += 1
            await asyncio.sleep(float(query.get("every", 0)))
    finally:
        handled.ended += 1


def starlette_app(charging: Charging, handled: Handled) -> Any:
    """The whole of it, as Starlette has it."""

    async def show_image(request: StarletteRequest) -> Response:
        status = await image(handled, request.query_params)
        if "waive" in request.query_params:
            waive(request)
        return Response(status_code=304) if status == 304 else JSONResponse({"image": 1}, status)

    async def chat(request: StarletteRequest) -> Response:
        if "output" in request.query_params:
            charge_for(request, quantities={"input": 10, "output": int(request.query_params["output"])})
        return JSONResponse({}, int(request.query_params.get("status", 200)))

    async def stream(request: StarletteRequest) -> Response:
        return StreamingResponse(pieces(handled, request, request.query_params))

    async def file(request: StarletteRequest) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            for number in range(100):
                yield b"part %d\n" % number
                await asyncio.sleep(float(request.query_params.get("every", 0)))

        return StreamingResponse(parts())

    async def later(request: StarletteRequest) -> Response:
        charge_for(request, type="call", amount=request.query_params["amount"])
        return JSONResponse({})

    async def live(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            if text == "end":
                await socket.close()
                return
            count_for(socket, {"output": 3})
            await socket.send_text(text)

    async def health(_: StarletteRequest) -> Response:
        return JSONResponse({})

    app = Starlette(
        routes=[
            Route("/v1/image", show_image),
            Route("/v1/chat", chat),
            Route("/v1/stream", stream),
            Route("/v1/file", file),
            Route("/v1/later", later),
            Route("/v1/hidden", health),
            WebSocketRoute("/v1/live", live),
            Route("/health", health),
        ]
    )
    app.add_middleware(AsgiMiddleware, charging=charging)
    return app


def fastapi_app(charging: Charging, handled: Handled) -> Any:
    """Prices in the table, and beside handlers."""
    app = FastAPI()
    app.add_middleware(AsgiMiddleware, charging=charging)

    @app.get("/v1/image")
    async def show_image(request: Request) -> Any:
        return FastJSONResponse({}, await image(handled, request.query_params))

    @app.get("/v1/stream")
    async def stream(request: Request) -> Any:
        return FastStreamingResponse(pieces(handled, request, request.query_params))

    @app.get("/own/image")
    @priced("image")
    async def own_image(status: int = 200) -> Any:
        handled.count += 1
        return FastJSONResponse({}, status)

    @app.get("/own/chat")
    @priced("chat", quantities={"input": 100, "output": 100}, metered=True)
    def own_chat(request: Request, output: int) -> Any:
        handled.count += 1
        charge_for(request, quantities={"input": 10, "output": output})
        return {}

    return app


def litestar_app(charging: Charging, handled: Handled, *, is_around: bool) -> Any:
    """The middleware around the application, or one of Litestar's own, which are made for each handler."""

    @litestar.get("/v1/image")
    async def show_image(request: litestar.Request[Any, Any, State]) -> LitestarResponse[Any]:
        return LitestarResponse({}, status_code=await image(handled, request.query_params))

    @litestar.get("/v1/stream")
    async def stream(request: litestar.Request[Any, Any, State]) -> Stream:
        return Stream(pieces(handled, request, request.query_params))

    @litestar.get("/own/image")
    @priced("image")
    async def own_image(request: litestar.Request[Any, Any, State]) -> LitestarResponse[Any]:
        handled.count += 1
        return LitestarResponse({}, status_code=int(request.query_params.get("status", 200)))

    @litestar.get("/own/chat", sync_to_thread=True)
    @priced("chat", quantities={"input": 100, "output": 100}, metered=True)
    def own_chat(request: litestar.Request[Any, Any, State]) -> dict[str, str]:
        handled.count += 1
        charge_for(request, quantities={"input": 10, "output": int(request.query_params["output"])})
        return {}

    handlers = [show_image, stream, own_image, own_chat]
    if is_around:
        return AsgiMiddleware(litestar.Litestar(handlers), charging)
    return litestar.Litestar(
        handlers,
        middleware=[DefineMiddleware(AsgiMiddleware, charging=charging)],
        on_shutdown=[charging.aclose],
    )


FRAMEWORKS: Final[dict[str, Callable[[Charging, Handled], Any]]] = {
    "fastapi": fastapi_app,
    "litestar": lambda charging, handled: litestar_app(charging, handled, is_around=False),
    "around litestar": lambda charging, handled: litestar_app(charging, handled, is_around=True),
}
