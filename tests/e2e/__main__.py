"""Servers of each engine that are restarted many times under load: `make restarts` prints what clients noticed."""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

from tests.e2e.restarts import restart_under_load
from tests.support.postgres import PostgresServer


def main() -> None:
    """Restart a server of each engine many times, and print what its clients noticed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--restarts", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores; {given.restarts} restarts of {given.workers} workers")
    print("| engine | requests | without an answer | by status | slowest |")
    print("| --- | ---: | ---: | --- | ---: |")
    with tempfile.TemporaryDirectory() as folder, PostgresServer() as postgres:
        for engine, url in (
            ("SQLite", f"sqlite:///{Path(folder) / 'farebox.db'}"),
            ("PostgreSQL", postgres.create_database()),
        ):
            clients = asyncio.run(restart_under_load(url, restarts=given.restarts, workers=given.workers))
            statuses = ", ".join(f"{status}: {count}" for status, count in sorted(clients.answers.items()))
            total = clients.answers.total() + len(clients.lost)
            print(f"| {engine} | {total} | {len(clients.lost)} | {statuses} | {clients.slowest_s:.2f} s |")
            for line in clients.lost:
                print(line)


if __name__ == "__main__":
    main()
