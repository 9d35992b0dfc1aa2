#!/usr/bin/env bash
# Starlette's 405 names the methods of one route, not those that the path takes.
#
# Guess:     where one path has a route for GET and another for POST, a PUT is answered with Allow: GET, HEAD, POST, as
#            RFC 9110 asks (15.5.6: "the target resource's currently supported methods").
# Behaviour: the router remembers the first route whose path fits, and lets that one answer: Allow names its methods alone,
#            so a client that goes by the header never tries the POST that the path takes. OPTIONS is refused likewise.
# Versions:  starlette 1.10.0, httpx 0.28.1
# Source:    starlette.routing.Router.app ("partial" match) and Route.handle
# Seen:
#   PUT /item -> 405, Allow: GET, HEAD
#   POST /item -> 200
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet starlette==1.10.0 httpx==0.28.1

"$folder/venv/bin/python" - <<'PYTHON'
import asyncio

import httpx
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def answer(request):
    return PlainTextResponse("done")


app = Starlette(routes=[Route("/item", answer), Route("/item", answer, methods=["POST"])])


async def ask() -> tuple[httpx.Response, httpx.Response]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.put("/item"), await client.post("/item")


refused, taken = asyncio.run(ask())
allowed = ", ".join(sorted(name.strip() for name in refused.headers["allow"].split(",")))
print(f"PUT /item -> {refused.status_code}, Allow: {allowed}")
print(f"POST /item -> {taken.status_code}")
assert (405, 200) == (refused.status_code, taken.status_code)
assert "POST" not in allowed, "all methods of the path are named now"
PYTHON
