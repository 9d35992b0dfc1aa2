"""Requests for approval are decided from the command line once; a second time is told as one."""

import asyncio
from typing import Final

import pytest

from farebox.core import ids
from farebox.service import parsing
from farebox.service.inputs import format_time
from farebox.service.operator.grants import GrantFields
from tests.cli.shell import Shell
from tests.support.server import open_farebox, staff_member

LIMIT: Final = "500.00 USD"
AGAIN: Final = "before"


@pytest.fixture
def merchant(shell: Shell) -> str:
    return shell.merchant()


def requests_of_ann(shell: Shell, merchant: str) -> list[str]:
    """Ask for a top-up, a credit limit and credit, now and later, that need a second person; return their ids."""

    async def ask() -> list[str]:
        async with open_farebox(shell.database_url, approval_above="100") as farebox:
            ann, operations = await staff_member(farebox, "ann"), farebox.services.operations
            number = parsing.parse_public_id(ids.MERCHANT, merchant)
            top_up = await operations.top_up(number, amount="500", reference="R", note=None, principal=ann)
            credit_limit = await operations.set_credit_limit(number, "500", principal=ann)
            tomorrow = format_time(farebox.clock.now() + 86_400_000_000)
            credit = [
                await farebox.services.grants.give(number, GrantFields("500", *words), principal=ann)
                for words in (("W-1", "trial"), ("W-2", "trial", tomorrow))
            ]
            asked = [outcome.approval for outcome in (top_up, credit_limit, *credit)]
            return [approval.id for approval in asked if approval is not None]

    return asyncio.run(ask())


def test_a_request_is_approved_once(shell: Shell, merchant: str) -> None:
    requests = requests_of_ann(shell, merchant)
    assert 4 == len(requests)
    for request in requests:
        first = shell.ok("approval", "approve", merchant, request).out
        assert (True, False) == (LIMIT in first, AGAIN in first)
        again = shell.ok("approval", "approve", merchant, request).out
        assert (True, True) == (LIMIT in again, AGAIN in again)
        assert shell.json("approval", "approve", merchant, request)["isReplay"]
        refused = shell.run("approval", "reject", merchant, request)
        assert (1, True) == (refused.status, "was approved" in refused.err)
    shown = shell.json("merchant", "show", merchant)
    assert ("1000.00", "500.00") == (shown["available"], shown["creditLimit"])
    assert ["waiting", "open"] == [grant["state"] for grant in shell.json("grant", "list", merchant)]


def test_a_request_is_rejected_once(shell: Shell, merchant: str) -> None:
    for request in requests_of_ann(shell, merchant):
        assert f"{request} is rejected.\n" == shell.ok("approval", "reject", merchant, request).out
        assert AGAIN in shell.ok("approval", "reject", merchant, request).out
        refused = shell.run("approval", "approve", merchant, request)
        assert (1, True) == (refused.status, "was rejected" in refused.err)
    assert "Nothing waits for approval.\n" == shell.ok("approval", "list").out
