"""`farebox copy` as a script uses it: what it answers, and what it says when it does not copy."""

from pathlib import Path

from tests.cli.shell import Shell


def two(tmp_path: Path) -> tuple[Shell, Shell]:
    """A shell with a ledger, and one with what it is copied into."""
    source, target = (Shell(f"sqlite:///{tmp_path / name}.db") for name in ("source", "target"))
    source.ok("init")
    source.merchant()
    return source, target


def test_a_ledger_is_copied_and_both_are_open(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    copied = source.json("copy", "--to", target.database_url)
    assert (True, False, 1) == (copied["isFinished"], copied["isSwitched"], copied["tables"]["merchant"])
    assert copied["rows"] == sum(copied["tables"].values())
    assert source.json("merchant", "list") == target.json("merchant", "list")
    again = source.run("copy", "--to", target.database_url)
    assert (1, "") == (again.status, again.out)
    assert "is not empty" in again.err


def test_a_ledger_is_switched_and_says_where_it_has_moved(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    merchants = source.json("merchant", "list")
    source.ok("copy", "--to", target.database_url, "--serving")
    unfinished = target.run("merchant", "list", "--json")
    assert 1 == unfinished.status
    assert '"copy_unfinished"' in unfinished.err
    assert "closed for good" in source.ok("copy", "--to", target.database_url, "--switch").out
    assert merchants == target.json("merchant", "list")
    moved = source.run("merchant", "list", "--json")
    assert 1 == moved.status
    assert '"ledger_moved"' in moved.err
    assert target.database_url in moved.err


def test_a_copy_is_given_up(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    assert "No copy is made.\n" == source.ok("copy", "--abandon").out
    source.ok("copy", "--to", target.database_url, "--serving")
    assert {"isGivenUp": True} == source.json("copy", "--abandon")
    assert "empty it" in source.run("copy", "--to", target.database_url).err


def test_words_that_make_no_sense_are_told(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    for words, error in (
        ((), " to: name the database"),
        (("--to", "nonsense"), " to: the URL"),
        (("--to", source.database_url), " to: this is the ledger itself"),
        (("--to", target.database_url, "--switch", "--serving"), " switch: choose"),
        (("--to", target.database_url, "--abandon"), " to: --abandon changes"),
    ):
        refused = source.run("copy", *words)
        assert 2 == refused.status, refused
        assert error in refused.err
