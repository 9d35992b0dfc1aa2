#!/usr/bin/env bash
# HAProxy with several threads loses lines of its log where one thread's write to standard output takes long.
#
# Guess:     `log stdout` into a file writes a line for each request: a file on a disk always takes a line.
# Behaviour: lines of two threads must not mix and no thread may wait, so a thread that finds another one writing tries 200
#            times and then drops its line. A disk that is slow for a moment, or a busy machine that interrupts the one that
#            writes, is enough. `show info` counts them as DroppedLogs. With nbthread 1 there is no other.
# Versions:  HAProxy 2.6.12 of Debian 12, with strace, which delays each fiftieth write by 20 ms
# Source:    haproxy/haproxy, src/fd.c, fd_write_frag_line: "we prefer to fail on collision than to block"
# Seen:
#   nbthread 2: 5000 requests, lines are missing
#   nbthread 1: 5000 requests, 5000 lines
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for threads in 2 1; do
    cat >haproxy.cfg <<CONFIGURATION
global
    nbthread $threads
defaults
    mode http
    timeout client 5s
frontend clients
    bind 127.0.0.1:19873
    log stdout format raw local0
    log-format "line"
    http-request return status 200
CONFIGURATION
    strace -f -qq -o /dev/null -e trace=writev -e inject=writev:delay_enter=20000:when=50+50 \
        haproxy -f haproxy.cfg >"lines.$threads" &
    tracer=$!
    python3 - <<'PYTHON'
import http.client
import threading
import time


def ask(count: int) -> None:
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", 19873, timeout=10)
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.close()


for _ in range(100):
    try:
        http.client.HTTPConnection("127.0.0.1", 19873, timeout=1).connect()
        break
    except OSError:
        time.sleep(0.1)
clients = [threading.Thread(target=ask, args=(250,)) for _ in range(20)]
for client in clients:
    client.start()
for client in clients:
    client.join()
time.sleep(0.5)
PYTHON
    kill "$(ps -o pid= --ppid "$tracer")"
    wait "$tracer" || true
    # The look whether it serves may have logged a line as well.
    lines=$(grep -c line "lines.$threads")
    if [ "$threads" = 2 ]; then
        test "$lines" -lt 5000
        echo "nbthread 2: 5000 requests, lines are missing"
    else
        test "$lines" -ge 5000
        echo "nbthread 1: 5000 requests, 5000 lines"
    fi
done
