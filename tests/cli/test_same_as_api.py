"""A thing looks the same on the command line and in the API: the same JSON, field for field."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from farebox.core import ids
from farebox.core.approvals import ApprovalLimits
from farebox.core.staff_roles import EVERY_ROLE
from farebox.service import parsing
from farebox.service.ledger.operations import Operations
from farebox.service.people.api_keys import Principal
from farebox.web.schemas.spending import HoldRequest
from tests.cli.shell import Shell
from tests.support.app_client import open_client
from tests.support.server import open_farebox


def _asked(shell: Shell, support_key: str, paths: dict[str, str]) -> dict[str, Any]:
    """Read these paths of an API over the shell's database."""

    async def ask() -> dict[str, Any]:
        async with open_farebox(shell.database_url) as farebox:
            client = await open_client(farebox)
            return {name: (await client.get(path, support_key)).data for name, path in paths.items()}

    return asyncio.run(ask())


def _hold(shell: Shell, merchant: str, request_type: str) -> None:
    """Set money aside, as a service does."""

    async def hold() -> None:
        async with open_farebox(shell.database_url) as farebox:
            await farebox.services.prices.set(request_type, "2.5")
            fields = HoldRequest(merchant, request_type, "hold", reference="job-8812")
            assert (await farebox.services.operations.hold(fields, caller=None)).is_ok

    asyncio.run(hold())


def test_what_is_listed_in_both_is_told_in_the_same_fields(shell: Shell) -> None:
    support_key = shell.json("key", "create", "--support", "ann")["apiKey"]
    merchant = shell.merchant("--threshold", "10", "--credit-limit", "5")
    shell.ok("user", "add", merchant, "ann@acme.example")
    shell.ok("user", "add", merchant, "bob@acme.example", "--role", "viewer")
    shell.ok("price", "set", "image", "0.01")
    shell.ok("price", "set", "image", "0.02", "--from", "2100-01-01T00:00:00Z")
    shell.ok("price", "set", "image", "variable", "--merchant", merchant)
    shell.ok("staff", "add", "sam@farebox.example", "--name", "Sam")
    shell.ok("merchant", "set", merchant, "--threshold", "20")
    shell.ok("topup", merchant, "50", "--reference", "INV-1")
    _hold(shell, merchant, "scan")
    root = f"/api/admin/merchants/{merchant}"
    month = f"{datetime.now(UTC):%Y-%m}"
    api = _asked(
        shell,
        support_key,
        {
            "merchant": root,
            "merchants": "/api/admin/merchants",
            "users": f"{root}/users",
            "keys": f"{root}/keys",
            "staff_keys": "/api/admin/keys",
            "prices": "/api/admin/prices",
            "own_prices": f"{root}/prices",
            "holds": "/api/admin/holds",
            "audit": "/api/admin/audit",
            "revenue": f"/api/admin/revenue?month={month}",
            "outbox": "/api/admin/outbox",
            "mails": f"/api/admin/outbox?merchant={merchant}&limit=2",
        },
    )
    assert api["merchant"] == shell.json("merchant", "show", merchant)
    assert api["merchants"]["merchants"] == shell.json("merchant", "list")
    assert api["users"]["users"] == shell.json("user", "list", merchant)
    assert api["keys"]["keys"] == shell.json("key", "list", "--merchant", merchant)
    assert api["staff_keys"]["keys"] == shell.json("key", "list")
    assert api["prices"]["prices"] == shell.json("price", "list")
    assert api["own_prices"]["prices"] == shell.json("price", "list", "--merchant", merchant)
    assert api["holds"]["holds"] == shell.json("hold", "list")
    assert api["audit"]["entries"] == shell.json("audit")
    assert api["revenue"] == shell.json("report", "revenue", "--month", month)
    mails = shell.json("outbox", "list")
    assert api["outbox"]["mails"] == mails
    assert [mail for mail in mails if mail["kind"] == "low_balance"] == api["mails"]["mails"]
    assert {"low_balance", "invitation"} == {mail["kind"] for mail in mails}
    assert all(api[name] for name in api)


def test_a_request_for_approval_is_told_in_the_same_fields(shell: Shell) -> None:
    support_key = shell.json("key", "create", "--support", "ann")["apiKey"]
    merchant = shell.merchant()

    async def request() -> Any:
        async with open_farebox(shell.database_url) as farebox:
            limits = ApprovalLimits(0)
            operations = Operations(farebox.committer, farebox.clock, farebox.stores.prices, limits=limits)
            asked = await operations.adjust(
                parsing.parse_public_id(ids.MERCHANT, merchant),
                amount="-5",
                reference="A-1",
                reason="mistake",
                principal=Principal("ann", roles=EVERY_ROLE),
            )
            assert asked.is_ok
            client = await open_client(farebox)
            return (await client.get("/api/admin/approvals", support_key)).data["approvals"]

    (approval,) = asyncio.run(request())
    assert ("adjustment", "-5.00", "pending") == (approval["kind"], approval["amount"], approval["state"])
    assert [approval] == shell.json("approval", "list")
