#!/usr/bin/env bash
# A Starlette stream whose reader goes away does not close its generator: `finally` runs when the garbage collector comes.
#
# Guess:     once StreamingResponse has returned because the client hung up, the async generator that made the pieces is
#            closed, so that its `finally` has given back a database connection or a place in a count of open streams.
# Behaviour: if the reader leaves while a piece is being sent, the generator stays suspended at its `yield`. Nothing calls
#            aclose(); `finally` runs at some later collection, and a limit on open streams is wrong until then.
#            sse-starlette, on the same framework, closes it.
# Versions:  starlette 1.10.0, sse-starlette 3.7.0; an ASGI server with spec_version below 2.4, as granian 2.8.7 is
# Source:    starlette.responses.StreamingResponse.__call__ (a task group cancelled by listen_for_disconnect)
# Seen:
#   StreamingResponse: generator closed at return: False
#   EventSourceResponse: generator closed at return: True
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet starlette==1.10.0 sse-starlette==3.7.0

"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import gc

from sse_starlette import EventSourceResponse
from starlette.responses import StreamingResponse

SCOPE = {"type": "http", "method": "GET", "path": "/", "headers": [], "asgi": {"version": "3.0", "spec_version": "2.3"}}


async def closed_at_return(response_type) -> bool:
    closed, sending = [], asyncio.Event()

    async def pieces():
        try:
            while True:
                yield b"data: 1\n\n" if response_type is StreamingResponse else {"data": "1"}
        finally:
            closed.append(True)

    async def send(message) -> None:
        if message["type"] == "http.response.body":
            sending.set()
            await asyncio.sleep(60)

    async def receive():
        await sending.wait()
        return {"type": "http.disconnect"}

    gc.disable()
    generator = pieces()
    await response_type(generator)(SCOPE, receive, send)
    found = bool(closed)
    await generator.aclose()
    gc.enable()
    return found


plain = asyncio.run(closed_at_return(StreamingResponse))
events = asyncio.run(closed_at_return(EventSourceResponse))
print(f"StreamingResponse: generator closed at return: {plain}")
print(f"EventSourceResponse: generator closed at return: {events}")
assert not plain, "the generator is closed now"
assert events, "sse-starlette does not close it any more"
PYTHON
