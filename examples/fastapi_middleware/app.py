"""A FastAPI application that charges for its requests.

Its prices are `image`, by the request, and `chat`, by tokens of input and output: `make run` starts a Farebox that has
both, and tells the keys. Run this beside it, with uvicorn or any other ASGI server:

    export FAREBOX_URL=http://127.0.0.1:8000 SERVICE_KEY=fbs_...
    .venv/bin/uvicorn --app-dir examples/fastapi_middleware app:app --port 9000

    curl -H "x-api-key: fbm_..." http://127.0.0.1:9000/v1/images/sunset             # an image
    curl -N -H "x-api-key: fbm_..." "http://127.0.0.1:9000/v1/stories?pieces=50"    # the pieces that were streamed
    curl -H "x-api-key: fbm_..." http://127.0.0.1:9000/v1/reports                   # the tokens that the handler names

Without a key the answer is 401, without money 402, while Farebox is down 503: all in Farebox's envelope. A request that
fails, and one whose client leaves before it is answered, costs nothing. Press Ctrl+C in the middle of a story: its
merchant pays for the pieces that came.
"""

import asyncio
import os
from collections.abc import AsyncIterator

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

from farebox_client.middleware import AsgiMiddleware, Charging, charge_for, charged, count_for, free, metered

charging = Charging(
    os.environ["FAREBOX_URL"],
    key=os.environ["SERVICE_KEY"],
    routes=[
        charged("GET", "/v1/images/{name}", "image"),
        # Ten pieces are held; a longer story is charged all the same.
        metered("GET", "/v1/stories", "chat", up_to={"output": 10}),
        # Nothing is held: the key is checked, and the handler tells the tokens.
        metered("GET", "/v1/reports", "chat"),
        free("GET", "/health"),
    ],
    # Answers that were delivered are charged though this process, or Farebox, is killed right then.
    spool=os.environ.get("SPOOL", "farebox-spool"),
)
app = FastAPI()
app.add_middleware(AsgiMiddleware, charging=charging)


@app.get("/v1/images/{name}")
async def image(name: str) -> dict[str, str]:
    """Draw an image; one that isn't there costs nothing."""
    if name == "nothing":
        raise HTTPException(404)
    return {"image": f"a picture of a {name}"}


@app.get("/v1/stories")
async def story(request: Request, pieces: int = 5, pause: float = 0.2) -> StreamingResponse:
    """Stream a story; each piece is counted before it is sent."""

    async def told() -> AsyncIterator[str]:
        for number in range(pieces):
            await asyncio.sleep(pause)
            count_for(request, {"output": 1})
            yield f"And then, for the {number + 1}. time, ...\n"

    return StreamingResponse(told(), media_type="text/plain")


@app.get("/v1/reports")
async def report(request: Request) -> dict[str, str]:
    """Do something whose cost is known when it is done."""
    charge_for(request, quantities={"input": 812, "output": 344})
    return {"report": "all is well"}


@app.get("/health")
async def health() -> dict[str, str]:
    """Tell that the application runs."""
    return {}
