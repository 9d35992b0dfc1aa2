"""A server that takes TigerBeetle's arguments and keeps accounts in memory, in a protocol of its own: lines of JSON."""

import json
import socketserver
import sys
from pathlib import Path
from typing import Any

accounts: dict[int, dict[str, int]] = {}
transfers: set[int] = set()


class _Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            asked = json.loads(line)
            answer = [_ANSWERS[asked["what"]](event) for event in asked["events"]]
            self.wfile.write(json.dumps(answer).encode() + b"\n")


def _create_account(event: dict[str, int]) -> str:
    if event["id"] in accounts:
        return "EXISTS"
    accounts[event["id"]] = {**event, "debits_posted": 0, "credits_posted": 0}
    return "CREATED"


def _create_transfer(event: dict[str, int]) -> str:
    debited, credited = accounts[event["debit_account_id"]], accounts[event["credit_account_id"]]
    if not event["id"] or event["id"] in transfers:
        return "EXISTS"
    if debited["flags"] and debited["debits_posted"] + event["amount"] > debited["credits_posted"]:
        return "EXCEEDS_CREDITS"
    transfers.add(event["id"])
    debited["debits_posted"] += event["amount"]
    credited["credits_posted"] += event["amount"]
    return "CREATED"


_ANSWERS: dict[str, Any] = {
    "create_accounts": _create_account,
    "create_transfers": _create_transfer,
    "lookup_accounts": lambda number: accounts[number],
}


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main(command: str, *arguments: str) -> None:
    if command == "version":
        sys.stdout.write("TigerBeetle version 0.17.8+1e2826e\n")
        return
    options = dict(argument.removeprefix("--").split("=") for argument in arguments[:-1])
    file = Path(arguments[-1])
    if command == "format":
        file.write_text(json.dumps(options))
        return
    if json.loads(file.read_text()) != {"cluster": "0", "replica": "0", "replica-count": "1"}:
        raise SystemExit(f"{file} was not formatted for one replica")
    host, port = options["addresses"].split(":")
    with _Server((host, int(port)), _Connection) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
