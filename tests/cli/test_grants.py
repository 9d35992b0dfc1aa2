"""The commands for given credit: it is given once, listed, told beside the balance, and ended."""

from datetime import UTC, datetime, timedelta

from tests.cli.shell import Shell


def _in_days(days: int) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


def test_credit_is_given_once_listed_and_ended(shell: Shell) -> None:
    merchant = shell.merchant()
    assert "Nothing was given.\n" == shell.ok("grant", "list", merchant).out
    shell.ok("topup", merchant, "100", "--reference", "INV-1")
    words = ("grant", "give", merchant, "20", "--reference", "W-1", "--reason", "for trying it out")
    more = ("--expires", "2099-12-01T00:00:00Z", "--type", "image", "--type", "audio", "--priority", "2")
    given = shell.ok(*words, *more).out
    assert given.startswith("Gave 20.00 USD of credit as grant_")
    assert given.endswith(". Available: 120.00 USD.\n")
    again = shell.ok(*words, *more).out
    assert "this had been done before, and nothing is given again" in again
    header, row = shell.ok("grant", "list", merchant).out.splitlines()
    assert ["grant", "state", "given", "left", "starts", "(UTC)", "ends", "(UTC)", "pays", "for", "priority"] == (
        header.split()[:11]
    )
    assert "open   20.00 USD  20.00" in row
    assert "2099-12-01 00:00:00  audio and image alone         2  W-1" in row
    (grant,) = shell.json("grant", "list", merchant)
    assert (["audio", "image"], "20.00", 2) == (grant["types"], grant["left"], grant["priority"])
    balance = shell.ok("balance", merchant).out.splitlines()
    assert [
        "120.00 USD",
        "100.00 of it is paid money, 20.00 was given.",
        "20.00 for audio and image alone ends on 1 December 2099, 00:00 (UTC)",
    ] == balance
    told = shell.json("balance", merchant)
    assert ("100.00", "20.00") == (told["paid"], told["given"])
    assert [grant["grantId"]] == [ending["grantId"] for ending in told["ending"]]

    ended = shell.ok("grant", "end", grant["grantId"], "--reason", "given by mistake").out
    assert f"Took back 20.00 USD of {grant['grantId']}. Available: 100.00 USD.\n" == ended
    assert "nothing moved now" in shell.ok("grant", "end", grant["grantId"], "--reason", "given by mistake").out
    assert ["100.00 USD"] == shell.ok("balance", merchant).out.splitlines()
    assert ["end_grant", "give_credit", "top_up"] == [entry["action"] for entry in shell.json("audit")][:3]
    assert 0 == shell.run("verify").status


def test_credit_that_starts_later_is_told_so(shell: Shell) -> None:
    merchant = shell.merchant()
    starts = _in_days(3)
    given = shell.ok(*("grant", "give", merchant, "20", "--reference", "W-1", "--reason", "r", "--starts", starts)).out
    assert f", from {starts[:10]} {starts[11:19]} (UTC) on. Available: 0.00 USD.\n" in given
    (grant,) = shell.json("grant", "list", merchant)
    assert ("waiting", "0.00") == (grant["state"], grant["left"])
    assert "Took back 0.00 USD" in shell.ok("grant", "end", grant["grantId"], "--reason", "no").out


def test_what_makes_no_sense_is_output(shell: Shell) -> None:
    merchant = shell.merchant()
    give = ("give", merchant, "20", "--reference", "W-1", "--reason", "r")
    for words, status, output in (
        ((*give, "--priority", "101"), 2, "priority: a priority is a whole number from 0 to 100"),
        ((*give, "--type", "a b"), 2, "a request type is"),
        ((*give, "--expires", "2020-01-01T00:00:00Z"), 1, ""),
        ((*give, "--expires", "soon"), 2, "is not a time"),
        (("end", "grant_1", "--reason", "r"), 1, "no grant has this id"),
        (("list", "mer_0000000000000"), 1, "no merchant has the id"),
    ):
        done = shell.run("grant", *words)
        assert (status, output in done.err) == (done.status, True), done
