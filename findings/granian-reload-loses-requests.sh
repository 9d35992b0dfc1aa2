#!/usr/bin/env bash
# granian's reload, which starts a new worker before it stops the old one, fails requests all the same.
#
# Guess:     SIGHUP "gracefully respawns" workers: the new one listens before the old one ends, so no client notices.
# Behaviour: on Linux each worker has a listening socket of its own (SO_REUSEPORT). When the old worker ends, what waits in its
#            socket's queue is reset; and it closes connections that are idle at that moment, whatever is on its way on them.
# Versions:  granian 2.8.7
# Source:    granian's src/net.rs (set_reuse_port) and server/common.py (_respawn_workers)
# Seen:
#   8 reloads: 24524 answered, 639 lost
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet granian==2.8.7

cat > "$folder/app.py" <<'PYTHON'
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
PYTHON

cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import http.client
import signal
import socket
import subprocess
import sys
import threading
import time

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
command = [sys.executable, "-m", "granian", "--interface", "asgi", "--port", str(port), "--respawn-interval", "1", "app:app"]
server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
counts, is_over = {"answered": 0, "lost": 0}, threading.Event()


def work(is_kept: bool) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    while not is_over.is_set():
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
            counts["answered"] += 1
        except (OSError, http.client.HTTPException):
            counts["lost"] += 1
            connection.close()
        if not is_kept:
            connection.close()


time.sleep(3)
threads = [threading.Thread(target=work, args=(number % 2 == 0,)) for number in range(32)]
for thread in threads:
    thread.start()
for _ in range(8):
    time.sleep(2)
    server.send_signal(signal.SIGHUP)
time.sleep(3)
is_over.set()
for thread in threads:
    thread.join()
server.terminate()
server.wait()
print(f"8 reloads: {counts['answered']} answered, {counts['lost']} lost")
if not counts["lost"]:
    sys.exit("no request is lost any more")
PYTHON
