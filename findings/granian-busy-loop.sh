#!/usr/bin/env bash
# A request to an application whose event loop is busy in short steps takes 5 ms and more behind granian, and a fraction of one
# millisecond behind uvicorn, whose HTTP is Python.
#
# Guess:     HTTP that is compiled, in threads of its own, takes work off the thread that runs Python: the busier the application,
#            the more it helps. A loop that gives everybody a turn every 0.05 ms hands a request over within that time.
# Behaviour: a thread that has received a request needs the interpreter's lock to hand it over, and again for what the
#            application sends. The loop gives the lock up at each turn, for less time than a thread takes to wake up, and has
#            it back: milliseconds go by until the switch interval (5 ms) or the system's scheduler lets the thread in. A switch
#            interval of 0.1 ms, and uvloop in asyncio's place, changed nothing. Connections of asyncio's are served by the loop
#            at its next turn, with the lock held. With a loop that has nothing else to do the two are alike.
# Versions:  granian 2.8.7; uvicorn 0.54.0 with httptools 0.9.0; CPython 3.11 with its lock
# Source:    CPython's Python/ceval_gil.c (take_gil, drop_gil); granian's src/asgi, whose tokio threads call into Python
# Seen:
#   uvicorn, idle loop: 0.2 ms a request
#   uvicorn, busy loop: 0.3 ms a request
#   granian, idle loop: 0.2 ms a request
#   granian, busy loop: 8.0 ms a request
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet granian==2.8.7 httptools==0.9.0 uvicorn==0.54.0

cat > "$folder/app.py" <<'PYTHON'
import asyncio
import os
import time

STEP_SECONDS = 0.00005


async def work():
    while os.environ["LOOP"] == "busy":
        until = time.perf_counter() + STEP_SECONDS
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        task = asyncio.create_task(work())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        task.cancel()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
PYTHON

cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import http.client
import os
import socket
import statistics
import subprocess
import sys
import time

SERVERS = {"uvicorn": ("--http", "httptools"), "granian": ("--interface", "asgi")}
took = {}


def measure(server: str, loop: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", server, *SERVERS[server], "--loop", "asyncio", "--log-level", "error"]
    process = subprocess.Popen([*command, "--port", str(port), "app:app"], env={**os.environ, "LOOP": loop})
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.1)
        client, seconds = http.client.HTTPConnection("127.0.0.1", port, timeout=10), []
        for _ in range(300):
            began = time.perf_counter()
            client.request("POST", "/", b"{}")
            assert client.getresponse().read() == b"ok"
            seconds.append(time.perf_counter() - began)
        client.close()
    finally:
        process.terminate()
        process.wait()
    took[server, loop] = statistics.median(seconds)
    print(f"{server}, {loop} loop: {took[server, loop] * 1000:.1f} ms a request")


for server in SERVERS:
    for loop in ("idle", "busy"):
        measure(server, loop)
assert took["granian", "busy"] > 3 * took["uvicorn", "busy"], "a busy loop is answered as soon behind threads now"
assert took["granian", "busy"] > 3 * took["granian", "idle"], "the loop's own work makes no difference any more"
PYTHON
