"""TigerBeetle's Python client by its names, for the server beside this file."""

import asyncio
import enum
import itertools
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

_ids: Final = itertools.count(int.from_bytes(os.urandom(15)) << 8)


def id() -> int:  # noqa: A001 (the client's own name for it)
    return next(_ids)


class CreateTransferStatus(enum.IntEnum):
    CREATED = 0xFFFFFFFF
    EXISTS = 46
    EXCEEDS_CREDITS = 54


class AccountFlags(enum.IntFlag):
    NONE = 0
    DEBITS_MUST_NOT_EXCEED_CREDITS = 2


@dataclass
class Account:
    id: int = 0
    debits_posted: int = 0
    credits_posted: int = 0
    ledger: int = 0
    code: int = 0
    flags: AccountFlags = AccountFlags.NONE


@dataclass
class Transfer:
    id: int = 0
    debit_account_id: int = 0
    credit_account_id: int = 0
    amount: int = 0
    ledger: int = 0
    code: int = 0


@dataclass
class CreateTransferResult:
    status: CreateTransferStatus


class ClientSync:
    def __init__(self, cluster_id: int, replica_addresses: str) -> None:
        assert cluster_id == 0
        host, port = replica_addresses.split(":")
        self._socket = socket.create_connection((host, int(port)))
        self._answers = self._socket.makefile()

    def __enter__(self) -> "ClientSync":
        return self

    def __exit__(self, *error: object) -> None:
        self._answers.close()
        self._socket.close()

    def create_accounts(self, accounts: Sequence[Account]) -> list[CreateTransferResult]:
        return _results(self._ask("create_accounts", [asdict(each) for each in accounts]))

    def create_transfers(self, transfers: Sequence[Transfer]) -> list[CreateTransferResult]:
        return _results(self._ask("create_transfers", [asdict(each) for each in transfers]))

    def lookup_accounts(self, numbers: Sequence[int]) -> list[Account]:
        return [Account(**found) for found in self._ask("lookup_accounts", numbers)]

    def _ask(self, what: str, events: Sequence[Any]) -> list[Any]:
        self._socket.sendall(json.dumps({"what": what, "events": events}).encode() + b"\n")
        answer: list[Any] = json.loads(self._answers.readline())
        return answer


class ClientAsync:
    """The same, one request at a time."""

    def __init__(self, cluster_id: int, replica_addresses: str) -> None:
        self._client = ClientSync(cluster_id, replica_addresses)
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> "ClientAsync":
        return self

    async def __aexit__(self, *error: object) -> None:
        self._client.__exit__()

    async def create_transfers(self, transfers: Sequence[Transfer]) -> list[CreateTransferResult]:
        async with self._turn:
            return await asyncio.to_thread(self._client.create_transfers, transfers)

    async def lookup_accounts(self, numbers: Sequence[int]) -> list[Account]:
        async with self._turn:
            return await asyncio.to_thread(self._client.lookup_accounts, numbers)


def _results(names: list[str]) -> list[CreateTransferResult]:
    return [CreateTransferResult(CreateTransferStatus[name]) for name in names]
