"""The commands for holds: what is set aside is listed, kept longer and let go."""

import asyncio
from datetime import datetime, timedelta

from farebox.web.schemas.spending import HoldRequest
from tests.cli.shell import Shell
from tests.support.server import open_farebox


def _hold(shell: Shell, merchant: str, number: int, ttl_seconds: int = 900) -> str:
    """Set money aside, as a service does, and return the hold's id."""

    async def hold() -> str:
        async with open_farebox(shell.database_url) as farebox:
            fields = HoldRequest(
                merchant, "scan", f"hold-{number}", quantity=2, reference=f"job-{number}", ttl_seconds=ttl_seconds
            )
            outcome = await farebox.services.operations.hold(fields, caller=None)
            assert outcome.hold is not None
            return outcome.hold.id

    return asyncio.run(hold())


def test_open_holds_are_listed_extended_and_released(shell: Shell) -> None:
    merchant = shell.merchant()
    assert "Nothing is set aside.\n" == shell.ok("hold", "list").out
    shell.ok("topup", merchant, "50", "--reference", "INV-1")
    shell.ok("price", "set", "scan", "2.50")
    first, second = _hold(shell, merchant, 1, 600), _hold(shell, merchant, 2, 300)
    listed = shell.ok("hold", "list", "--merchant", merchant).out
    header, *rows = listed.splitlines()
    assert ["hold", "merchant", "for", "reference", "age", "ends", "(UTC)", "set", "aside"] == header.split()
    assert [second, first] == [row.split()[0] for row in rows]
    assert "scan x 2" in rows[0]
    assert "job-2" in rows[0]
    assert rows[0].endswith("5.00 USD")
    assert "There are more; --limit shows up to 1,000." in shell.ok("hold", "list", "--limit", "1").out

    before = {hold["holdId"]: hold for hold in shell.json("hold", "list")}
    extended = shell.json("hold", "extend", first, "--ttl", "3600")
    assert (first, "5.00", False) == (extended["holdId"], extended["amount"], extended["isReplay"])
    gained = datetime.fromisoformat(extended["expiresAt"]) - datetime.fromisoformat(before[first]["expiresAt"])
    assert timedelta(seconds=2990) < gained < timedelta(seconds=3600)
    assert extended["expiresAt"] == shell.json("hold", "list")[1]["expiresAt"]
    again = shell.ok("hold", "extend", first, "--expires", before[first]["expiresAt"]).out
    assert again.startswith("It lasts until ")
    assert again.endswith(" (UTC) already.\n")

    released = shell.ok("hold", "release", second, "--reason", "Its service is gone").out
    assert released.startswith("Released 5.00 USD: 45.00 USD are available (xfer_")
    assert [first] == [hold["holdId"] for hold in shell.json("hold", "list")]
    (entry, *_) = shell.json("audit")
    assert ("release_hold", "release of 5.00 USD, Its service is gone") == (entry["action"], entry["detail"])
    assert 0 == shell.run("verify").status


def test_what_can_not_be_done_to_a_hold_is_output(shell: Shell) -> None:
    merchant = shell.merchant()
    shell.ok("topup", merchant, "50", "--reference", "INV-1")
    shell.ok("price", "set", "scan", "2.50")
    hold_id = _hold(shell, merchant, 1)
    for words, status, output in (
        (("extend", hold_id), 2, "name either"),
        (("extend", hold_id, "--ttl", "0"), 2, "--ttl: a hold lasts from 1 to 604800 seconds"),
        (("extend", hold_id, "--expires", "2100-01-01T00:00:00Z"), 1, "604,800 seconds from now at most"),
        (("extend", "hold_1", "--ttl", "60"), 1, "No hold has this id"),
        (("release", hold_id, "--reason", ""), 2, "reason: "),
        (("list", "--merchant", "mer_0000000000000"), 1, "no merchant has the id"),
    ):
        done = shell.run("hold", *words)
        assert (status, output in done.err) == (done.status, True), done
    shell.ok("hold", "release", hold_id, "--reason", "gone")
    assert "already released" in shell.run("hold", "release", hold_id, "--reason", "gone").err
