"""`farebox price import`: what a list would change is shown, then made, and the audit log leads to it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import Shell

LIST: dict[str, Any] = {
    "sample_spec": {"input_cost_per_token": 0.0},
    "demo/one": {
        "input_cost_per_token": 2.5e-06,
        "output_cost_per_token": 1e-05,
        "input_cost_per_token_batches": 1e-06,
    },
    "demo/rest": {"input_cost_per_second": 0.0005666666666666667},
    "demo/none": {"mode": "chat"},
}


def a_list(tmp_path: Path) -> str:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(LIST))
    return str(path)


def test_a_dry_run_shows_what_an_import_would_change_and_the_import_makes_it(shell: Shell, tmp_path: Path) -> None:
    words = ("price", "import", a_list(tmp_path), "--from-list", "litellm", "--markup", "+20 %")
    dry = shell.ok(*words, "--dry-run").out
    assert "demo/one        new     3.00 per 1,000,000 input, 12.00 per 1,000,000 output" in dry
    assert "demo/one:batch  new     1.20 per 1,000,000 input, 12.00 per 1,000,000 output" in dry
    assert "2 would be new, 0 changed, 0 unchanged, 2 left out; from " in dry
    assert "  left out 1: no price" in dry
    assert "Nothing was changed: this was a dry run." in dry
    assert [] == shell.json("price", "list")
    made = shell.ok(*words).out
    assert "2 are new, 0 changed, 0 unchanged, 2 left out; from " in made
    assert ["demo/one", "demo/one:batch"] == [price["type"] for price in shell.json("price", "list")]
    again = shell.ok(*words).out
    assert "0 are new, 0 changed, 2 unchanged, 2 left out; from " in again
    assert 2 == len(shell.json("price", "list"))
    (entry,) = shell.json("audit")
    assert "imported default prices from a list, 2 new and 0 changed from " in entry["sentence"]
    made_with = shell.json("price", "list", "--made-with", entry["subject"])
    assert ["demo/one", "demo/one:batch"] == [price["type"] for price in made_with]


def test_changes_are_shown_from_and_to_and_all_types_when_asked_for(shell: Shell, tmp_path: Path) -> None:
    words = ("price", "import", a_list(tmp_path), "--from-list", "litellm")
    shell.ok(*words)
    shell.ok("price", "set", "other", "0.01")
    changed = shell.ok(*words, "--markup", "+100%", "--filter", "demo/one", "--dry-run").out
    assert (
        "demo/one  changed  2.50 per 1,000,000 input, 10.00 per 1,000,000 output"
        " → 5.00 per 1,000,000 input, 20.00 per 1,000,000 output"
    ) in changed
    every = shell.ok(*words, "--all", "--dry-run").out
    assert "demo/one        unchanged  2.50 per 1,000,000 input, 10.00 per 1,000,000 output" in every
    assert "demo/none       left out   no price: none is named" in every
    assert "1 type with a price is not in the list, and as before" in every


def test_rests_are_read_as_fractions_when_asked_to_and_each_is_listed(shell: Shell, tmp_path: Path) -> None:
    read = shell.ok("price", "import", a_list(tmp_path), "--from-list", "litellm", "--fractions", "--dry-run").out
    assert "  demo/rest: input_cost_per_second 0.0005666666666666667 is read as 17/30000" in read


def test_our_own_format_is_read_as_toml_or_json_and_may_become_a_merchants_prices(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "list.toml"
    path.write_text('[image]\nunitPrice = "0.008"\n')
    merchant = shell.merchant()
    answer = shell.json("price", "import", str(path), "--merchant", merchant, "--starts", "2100-01-01T00:00:00Z")
    assert {"new": 1, "changed": 0, "unchanged": 0, "left out": 0} == answer["counts"]
    (difference,) = answer["differences"]
    assert (None, {"unitPrice": "0.008", "rule": None}) == (difference["before"], difference["after"])
    assert [("image", "0.008")] == [
        (price["type"], price["unitPrice"]) for price in shell.json("price", "list", "--merchant", merchant)
    ]
    assert [] == shell.json("price", "list")


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--from-list", "genai-prices"), 2, "farebox: FILE: this is not genai-prices' data"),
        ((), 2, "farebox: FILE: this looks like litellm's price file; read it as such, with --from-list litellm"),
        (("--from-list", "litellm", "--markup", "dear"), 2, "farebox: markup: 'dear' is no markup"),
        (("--from-list", "litellm", "--filter", "/(/"), 2, "farebox: filter: this is no regular expression"),
        (("--from-list", "litellm", "--starts", "soon"), 2, "farebox: starts: 'soon' is not a time"),
    ],
)
def test_what_is_wrong_is_told_by_the_options_name(
    shell: Shell, tmp_path: Path, options: tuple[str, ...], status: int, message: str
) -> None:
    path = Path(a_list(tmp_path))
    path.write_text(json.dumps({"m": {"litellm_provider": "demo", "input_cost_per_token": 1e-06}}))
    done = shell.run("price", "import", str(path), *options)
    assert (status, True) == (done.status, done.err.startswith(message)), done.err
