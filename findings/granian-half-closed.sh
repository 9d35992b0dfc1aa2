#!/usr/bin/env bash
# Granian hangs up on a client that has sent its whole request and closed its sending side, while the request is done.
#
# Guess:     a client may end its side of a connection after the last byte of its request, as TCP allows and small clients
#            do (netcat, scripts): the request is complete, so it is answered like any other.
# Behaviour: the connection is closed as soon as the end is read, without an answer, and the application runs on to its
#            end: what was charged is charged, and the client is told nothing. There is no setting for it. A request that
#            is answered before the end arrives is answered, so it depends on who is faster.
# Versions:  granian 2.8.7
# Source:    hyper's HTTP/1 connection, whose half_close is off unless a server turns it on; granian's HTTP1Settings has no
#            such field
# Seen:
#   open: answered 200, the application came to its end
#   half-closed: closed without an answer, the application came to its end
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet granian==2.8.7

cat > "$folder/app.py" <<'PYTHON'
import asyncio
import os
import pathlib


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = (await receive())["body"]
    # A COMMIT takes about as long.
    await asyncio.sleep(0.2)
    pathlib.Path(os.environ["DONE"], body.decode()).touch()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
PYTHON
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
cd "$folder"
DONE="$folder" "$folder/venv/bin/granian" --interface asgi --port "$port" --log-level error app:app &
server=$!
trap 'kill $server; wait $server 2> /dev/null || true; rm -rf "$folder"' EXIT

"$folder/venv/bin/python" - "$port" "$folder" <<'PYTHON'
import pathlib
import socket
import sys
import time

port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
for _ in range(100):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        break
    except OSError:
        time.sleep(0.1)
seen = {}
for name in ("open", "half-closed"):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        head = f"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(name)}\r\nconnection: close\r\n\r\n"
        client.sendall(head.encode() + name.encode())
        if name == "half-closed":
            client.shutdown(socket.SHUT_WR)
        answer = client.recv(4096)
    time.sleep(0.5)
    told = f"answered {answer.split()[1].decode()}" if answer else "closed without an answer"
    end = "came to its end" if (folder / name).exists() else "was stopped"
    print(f"{name}: {told}, the application {end}")
    seen[name] = bool(answer), (folder / name).exists()
assert seen["open"] == (True, True), "the server does not answer at all"
assert seen["half-closed"] == (False, True), "a half-closed connection is answered now, or its request given up"
PYTHON
