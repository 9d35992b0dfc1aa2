#!/usr/bin/env bash
# asyncpg spends the whole connection timeout on the first host that is silent, and never asks the next one.
#
# Guess:     with postgresql://user@first,second/database and timeout=3 a client that finds the first host silent (its
#            machine is gone, a firewall drops the packets) goes on to the second, as libpq does, whose connect_timeout is
#            for each host: that is what several hosts in a URL are for.
# Behaviour: asyncpg's timeout is for all hosts together. A host that refuses is passed over at once, but one that does
#            not answer uses the time up: connect() fails with TimeoutError, the second host is never contacted, and a
#            pool with such a URL is down for as long as the first machine is, though the standby was promoted.
# Versions:  asyncpg 0.32.0; psycopg 3.3.6 with its own libpq for comparison
# Source:    asyncpg.connection.connect (one timeout around connect_utils._connect, which goes through the hosts);
#            PostgreSQL's documentation of libpq, connect_timeout: "for each host name or IP address"
# Seen:
#   asyncpg: TimeoutError, second host asked: False
#   psycopg: OperationalError, second host asked: True
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet asyncpg==0.32.0 "psycopg[binary]==3.3.6"

"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import socket
import threading

import asyncpg
import psycopg

asked = threading.Event()
silent, second = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
ports = silent.getsockname()[1], second.getsockname()[1]


def serve() -> None:
    """Take connections to the second host, note that it was asked, and hang up."""
    while True:
        try:
            connection, _ = second.accept()
        except OSError:
            return
        asked.set()
        connection.close()


threading.Thread(target=serve, daemon=True).start()
hosts = ",".join(f"127.0.0.1:{port}" for port in ports)


async def by_asyncpg() -> str:
    try:
        await asyncpg.connect(f"postgresql://me@{hosts}/test", timeout=3, ssl=False)
    except (OSError, asyncio.TimeoutError) as error:
        return type(error).__name__
    return "connected"


def by_psycopg() -> str:
    try:
        psycopg.connect(f"postgresql://me@{hosts}/test?connect_timeout=3&sslmode=disable")
    except psycopg.OperationalError as error:
        return "OperationalError"
    return "connected"


first = asyncio.run(by_asyncpg())
print(f"asyncpg: {first}, second host asked: {asked.is_set()}")
assert (first, asked.is_set()) == ("TimeoutError", False), "asyncpg asks the second host now"
then = by_psycopg()
print(f"psycopg: {then}, second host asked: {asked.is_set()}")
assert asked.is_set(), "libpq does not ask the second host"
PYTHON
