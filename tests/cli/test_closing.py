"""The commands that close, tag and note about merchants."""

from tests.cli.shell import Shell


def test_a_merchant_is_closed_and_opened_again(shell: Shell) -> None:
    merchant, other = shell.merchant(), shell.merchant()
    shell.ok("topup", merchant, "5", "--reference", "INV-1")
    refused = shell.run("merchant", "close", merchant, "--reason", "gone")
    assert (1, "") == (refused.status, refused.out)
    assert "5.00 USD are left; pay them out or write them off by an adjustment first" in refused.err
    shell.ok("adjust", merchant, "-5", "--reference", "closing", "--reason", "paid out")
    assert "Acme is closed.\n" == shell.ok("merchant", "close", merchant, "--reason", "gone").out
    again = shell.json("merchant", "close", merchant, "--reason", "gone")
    assert (True, merchant) == (again["isReplay"], again["merchantId"])
    assert again["closedAt"] is not None
    assert "closed since 20" in shell.ok("merchant", "show", merchant).out
    assert [other] == [item["merchantId"] for item in shell.json("merchant", "list")]
    assert [merchant] == [item["merchantId"] for item in shell.json("merchant", "list", "--closed")]
    assert "merchant_closed" in shell.run("topup", merchant, "5", "--reference", "INV-2", "--json").err
    assert "Acme is open.\n" == shell.ok("merchant", "reopen", merchant, "--reason", "back").out
    assert "There are no such merchants.\n" == shell.ok("merchant", "list", "--closed").out
    shell.ok("topup", merchant, "5", "--reference", "INV-2")
    sentences = [entry["detail"] for entry in shell.json("audit") if entry["action"] == "set_closed"]
    assert ["reopened, back", "closed, gone"] == sentences
    assert 0 == shell.run("verify").status


def test_merchants_are_tagged_and_found_by_tag(shell: Shell) -> None:
    merchant, _ = shell.merchant(), shell.merchant()
    assert ["eu", "vip"] == shell.json("merchant", "set", merchant, "--tag", "VIP", "--tag", "eu")["tags"]
    assert [merchant] == [item["merchantId"] for item in shell.json("merchant", "list", "--tag", "Vip")]
    header, line = shell.ok("merchant", "list", "--csv", "--tag", "vip").out.splitlines()
    assert header.startswith("merchantId,name,state,currency,posted,held,available,given,owed,creditLimit,tags,")
    assert f'{merchant},Acme,active,USD,0.00,0.00,0.00,0.00,0.00,0.00,"eu, vip",' in line
    assert 3 == len(shell.ok("merchant", "list", "--csv").out.splitlines())
    assert [] == shell.json("merchant", "set", merchant, "--tag", "")["tags"]
    assert 2 == shell.run("merchant", "set", merchant, "--tag", "a,b").status
    assert 2 == shell.run("merchant", "list", "--csv", "--json").status


def test_what_is_noted_is_listed_newest_first(shell: Shell) -> None:
    merchant = shell.merchant()
    assert "Nothing was noted yet.\n" == shell.ok("merchant", "notes", merchant).out
    for text in ("pays late", "called today"):
        assert "It is noted.\n" == shell.ok("merchant", "note", merchant, text).out
    assert ["called today", "pays late"] == [note["text"] for note in shell.json("merchant", "notes", merchant)]
    assert "pays late" in shell.ok("merchant", "notes", merchant).out
    assert "note" == shell.json("audit")[0]["action"]
