"""The command that counts refused requests."""

import asyncio

from farebox.web.schemas.spending import ChargeRequest
from tests.cli.shell import Shell
from tests.support.server import open_farebox


def _refuse(shell: Shell, merchant: str) -> None:
    async def refuse() -> None:
        async with open_farebox(shell.database_url) as farebox:
            for number in range(3):
                fields = ChargeRequest(merchant, "scan" if number else "no-such-type", f"key-{number}", quantity=99)
                await farebox.services.operations.charge(fields, caller=None)
            await farebox.refusal_counts.write()

    asyncio.run(refuse())


def test_refusals_are_counted_and_exported(shell: Shell) -> None:
    merchant = shell.merchant()
    assert "No request was refused in this time.\n" == shell.ok("refusals", merchant).out
    shell.ok("price", "set", "scan", "2.50")
    _refuse(shell, merchant)
    header, *rows = shell.ok("refusals", merchant).out.splitlines()
    assert ["day", "type", "why", "requests"] == header.split()
    assert ["no-such-type  no such request type         1", "scan          lack of money                2"] == [
        row[12:] for row in rows
    ]
    (line,) = shell.json("refusals", merchant, "--reason", "insufficient_balance", "--by", "hour")["lines"]
    assert ("scan", "insufficient_balance", 2) == (line["type"], line["reason"], line["count"])
    exported = shell.ok("refusals", merchant, "--csv").out.splitlines()
    assert "startsAt,type,reason,count" == exported[0]
    assert exported[2].endswith(",scan,insufficient_balance,2")


def test_what_makes_no_sense_is_said(shell: Shell) -> None:
    merchant = shell.merchant()
    assert 2 == shell.run("refusals", merchant, "--csv", "--json").status
    assert 2 == shell.run("refusals", merchant, "--time-zone", "Nowhere").status
    assert "merchant_not_found" in shell.run("refusals", "mer_7ZZZZZZZZZZZZ", "--json").err
