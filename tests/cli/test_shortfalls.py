"""Taking spent top-ups back, and the command that lists what is missing."""

import asyncio

from farebox.web.schemas.spending import ChargeRequest
from tests.cli.shell import Shell
from tests.support.server import open_farebox


def _spend(shell: Shell, merchant: str) -> None:
    async def spend() -> None:
        async with open_farebox(shell.database_url) as farebox:
            fields = ChargeRequest(merchant, "scan", "key", quantity=4, reference="job 7", above="uncollected")
            await farebox.services.operations.charge(fields, caller=None)

    asyncio.run(spend())


def test_a_spent_top_up_is_taken_back_and_the_rest_is_owed(shell: Shell) -> None:
    merchant = shell.merchant()
    assert "Nothing is missing.\n" == shell.ok("shortfalls").out
    shell.ok("price", "set", "scan", "2.50")
    top_up = shell.json("topup", merchant, "7", "--reference", "INV-1")["transferId"]
    _spend(shell, merchant)
    asked = ("reverse", merchant, top_up, "--reference", "BACK", "--reason", "bounced")
    assert "insufficient_balance" in shell.run(*asked, "--json").err
    answer = shell.ok(*asked, "--owed").out
    assert "7.00 USD of it was spent already and is owed." in answer
    assert "Still owed: 7.00 USD; nothing can be spent until it is paid." in answer
    assert "owed         7.00 USD" in shell.ok("merchant", "show", merchant).out
    header, *rows = shell.ok("shortfalls", "--merchant", merchant).out.splitlines()
    assert ["when", "(UTC)", "merchant", "for", "reference", "taken", "missing", "still", "owed"] == header.split()
    assert ["0.00 USD  7.00 USD    7.00 USD", "7.00 USD  3.00 USD    0.00 USD"] == [row[-30:].strip() for row in rows]
    assert [("top_up_reversal", "7.00"), ("charge", "3.00")] == [
        (line["kind"], line["uncollected"]) for line in shell.json("shortfalls")
    ]
    exported = shell.ok("shortfalls", "--csv").out.splitlines()
    assert exported[2].endswith(",charge,scan,USD,7.00,3.00,0.00,,job 7")
    assert 2 == shell.run("shortfalls", "--csv", "--json").status
    assert "Still owed: 5.00 USD" in shell.ok("topup", merchant, "2", "--reference", "INV-2").out
