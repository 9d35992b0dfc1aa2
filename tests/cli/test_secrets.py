"""`farebox secrets rotate`, on each engine."""

from tests.cli.shell import Shell

OLD = "b3f09c5e71d2846aa1f0e9d7c5b28463"
NEW = "9d7c5b2846a3f09c5e71d2b8463a1f0e"


def test_secrets_are_written_anew_with_the_first_key(database_url: str) -> None:
    before, both, after = (Shell(database_url, keys) for keys in (OLD, f"{NEW} {OLD}", NEW))
    before.ok("init")
    made = before.json("webhook", "add", "https://hooks.invalid/farebox", "--event", "balance.low")
    assert 1 == after.run("secrets", "rotate").status
    assert {"keys": 2, "destinations": 1, "oneTimeCodes": 0, "unreadable": []} == both.json("secrets", "rotate")
    assert "0 secrets of destinations and 0 of one-time codes" in after.ok("secrets", "rotate").out
    refused = before.run("secrets", "rotate")
    assert (1, True) == (refused.status, made["destinationId"] in refused.out)
