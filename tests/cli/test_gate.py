"""What `farebox gate` tells of a file of rules, and of a request by them."""

from pathlib import Path
from typing import Any, Final

import pytest

from tests.cli.shell import Shell

RULES: Final = """
[[route]]
method = "POST"
path = "/v1/search"
type = "search"
quantity = 3

[[route]]
method = "GET"
path = "/v1/files/{id}"
type = "call"
amount = "0.25"
mode = "hold"
hold_for = 60

[[route]]
method = "*"
path = "/v1/tokens"
type = "chat"
quantities = { output = 5, input = 100 }

[[route]]
method = "GET"
path = "/v1/models"
free = true

[[route]]
method = "GET"
path = "/status"
public = true

[[route]]
method = "*"
path = "/internal/**"
refuse = true
"""


@pytest.fixture
def file(shell: Shell, tmp_path: Path) -> str:
    """A file of rules; the types of two of its routes have a price."""
    shell.ok("price", "set", "search", "0.01")
    shell.ok("price", "set", "call", "variable")
    path = tmp_path / "gate.toml"
    path.write_text(RULES)
    return str(path)


def test_a_good_file_is_told_route_by_route(shell: Shell, file: str) -> None:
    assert [
        "line  method    path            what becomes of it",
        "   2  POST      /v1/search      3 x search, charged at the gate",
        "   8  GET HEAD  /v1/files/{id}  1 x call for 0.25, held for 60 s",
        "  16  *         /v1/tokens      chat of 100 input + 5 output, charged at the gate",
        "  22  GET HEAD  /v1/models      free, with a good key",
        "  27  GET HEAD  /status         public, without any key",
        "  32  *         /internal/**    refused",
        f"{file}: 6 routes. What no route is for is refused.",
    ] == shell.ok("gate", "check", file).out.splitlines()
    data = shell.json("gate", "check", file)
    assert (file, [], "refuse") == (data["file"], data["faults"], data["unmatched"])
    assert {
        "line": 8,
        "methods": ["GET", "HEAD"],
        "path": "/v1/files/{id}",
        "passage": "paid",
        "type": "call",
        "quantity": None,
        "quantities": None,
        "amount": "0.25",
        "mode": "hold",
        "holdFor": 60,
    } == data["routes"][1]


@pytest.mark.parametrize("word", ["free", "public"])
def test_what_no_route_is_for_is_told_too(shell: Shell, file: str, word: str) -> None:
    Path(file).write_text(f'unmatched = "{word}"\n{RULES}')
    assert f"What no route is for is {word}, with" in shell.ok("gate", "check", file).out
    tried = shell.ok("gate", "try", "GET", "/else", "--file", file).out.splitlines()
    assert tried[0].startswith(f"No route is for it: {word}, with")


def test_a_bad_file_is_told_fault_by_fault(shell: Shell, file: str) -> None:
    Path(file).write_text(RULES.replace('"POST"', '"post"').replace("hold_for", "hold_four"))
    done = shell.run("gate", "check", file)
    lines = done.out.splitlines()
    assert (1, "", 2) == (done.status, done.err, len(lines))
    assert lines[0].startswith(f"{file}: line 3, method: 'post' is no method; write a method in upper case")
    assert lines[1].startswith(f"{file}: line 14, hold_four: no member 'hold_four' is known here")
    told = shell.run("gate", "check", file, "--json")
    assert (1, 2, []) == (told.status, len(told.data["faults"]), told.data["routes"])
    # What needs the rules does not go on without them.
    tried = shell.run("gate", "try", "GET", "/status", "--file", file)
    assert (1, "") == (tried.status, tried.out)
    assert f"farebox: {file}: line 3, method: 'post' is no method" in tried.err
    assert "(and 1 more: farebox gate check" in tried.err


def test_a_file_that_is_not_there_is_named(shell: Shell) -> None:
    done = shell.run("gate", "check", "/none/gate.toml")
    assert (1, "/none/gate.toml: it can't be read: No such file or directory\n") == (done.status, done.out)
    # Without a name it is the one of the settings, or gate.toml here.
    assert shell.run("gate", "check").out.startswith("gate.toml: it can't be read")


def test_a_request_is_told_its_route_and_cost(shell: Shell, file: str) -> None:
    merchant = shell.merchant()
    assert [
        "/v1//search?q=1 is read as /v1/search.",
        "It meets the route of line 2, POST /v1/search: 3 x search, charged at the gate.",
        "It would cost 0.03.",
        "POST /v1//search?q=1 would be let through.",
    ] == shell.ok("gate", "try", "POST", "/v1//search?q=1", "--file", file).out.splitlines()
    shell.ok("price", "set", "search", "0.05", "--merchant", merchant)
    told = shell.ok("gate", "try", "POST", "/v1/search", "--file", file, "--merchant", merchant).out
    assert "It would cost 0.15 USD." in told.splitlines()
    data = shell.json("gate", "try", "HEAD", "/v1/files/%c3%a4", "--file", file)
    assert ("/v1/files/%C3%A4", 8, "0.25", None) == (
        data["path"],
        data["route"]["line"],
        data["quote"]["amount"],
        data["refusal"],
    )
    assert "let through" in shell.ok("gate", "try", "GET", "/v1/files/\u00e4", "--file", file).out
    free: Any = shell.json("gate", "try", "GET", "/v1/models", "--file", file)
    assert ("free", None, None) == (free["route"]["passage"], free["quote"], free["refusal"])


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "/v1/nothing", "route_not_found"),
        ("PUT", "/v1/search", "method_not_allowed"),
        ("GET", "/internal/metrics", "route_refused"),
        ("POST", "/v1%2Fsearch", "ambiguous_request"),
        ("post", "/v1/search", "ambiguous_request"),
        ("POST", "/" + "x" * 9_000, "target_too_long"),
        ("POST", "/v1/tokens", "unknown_type"),
    ],
)
def test_a_request_that_would_be_refused_is_told_why(
    shell: Shell, file: str, method: str, path: str, code: str
) -> None:
    done = shell.run("gate", "try", method, path, "--file", file)
    assert (1, "") == (done.status, done.err)
    assert f"{method} {path} would be refused: {code}: " in done.out
    told = shell.run("gate", "try", method, path, "--file", file, "--json")
    assert (1, code, None) == (told.status, told.data["refusal"]["code"], told.data["quote"])


def test_an_unknown_merchant_is_refused(shell: Shell, file: str) -> None:
    done = shell.run("gate", "try", "POST", "/v1/search", "--file", file, "--merchant", "mer_0000000000001")
    assert 1 == done.status
    assert "no merchant has the id" in done.err
