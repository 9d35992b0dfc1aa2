"""Commands for the gate: whether its file of rules is good, and what a request would meet."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from msgspec import Struct

from farebox.cli.context import FAILED, CommandContext, add_json_option, answer, command, counted, guarded, table
from farebox.config import Settings
from farebox.presenters.gate import method_words, passage_words, route_data
from farebox.presenters.pricing.quote_words import quote_words
from farebox.presenters.quotes import quote_data
from farebox.service.errors import Refused
from farebox.service.gate.errors import GateError
from farebox.service.gate.files import BadRules, load_rules
from farebox.service.gate.paths import normal_path
from farebox.service.gate.rules import GateRoute, Matcher, RoutePrice, Rules, Unmatched
from farebox.service.ledger.quotes import QuoteAsked, Quoted

FILE_DEFAULT: Final = "gate.toml"

_UNMATCHED_WORDS: Final = {
    Unmatched.REFUSE: "What no route is for is refused.",
    Unmatched.FREE: "What no route is for is free, with a good key.",
    Unmatched.PUBLIC: "What no route is for is public, without any key.",
}


@click.group("gate")
def gate_group() -> None:
    """The gate, which proxies ask before they let a request through to an API."""


@gate_group.command("check")
@click.argument("file", metavar="[FILE]", required=False)
def gate_check(file: str | None, *, is_json: bool) -> None:
    """Check a file of rules whole, FAREBOX_GATE_FILE unless told otherwise. Exits with 1 and names what is wrong."""

    def check() -> None:
        path = _path(file, Settings.load())
        try:
            rules = load_rules(path)
        except BadRules as error:
            _tell_faults(path, error.faults, is_json=is_json)
            raise SystemExit(FAILED) from None
        data = {
            "file": str(path),
            "faults": [],
            "routes": [route_data(route) for route in rules.routes],
            "unmatched": rules.unmatched,
        }
        answer(data, _routes_lines(path, rules), is_json=is_json)

    guarded(check, is_json=is_json)


def _tell_faults(path: Path, faults: tuple[str, ...], *, is_json: bool) -> None:
    data = {"file": str(path), "faults": list(faults), "routes": [], "unmatched": None}
    answer(data, [f"{path}: {fault}" for fault in faults], is_json=is_json)


def _routes_lines(path: Path, rules: Rules) -> Iterator[str]:
    rows = [(str(route.line), method_words(route), route.pattern, passage_words(route)) for route in rules.routes]
    yield from table(("line", "method", "path", "what becomes of it"), rows, right=(0,))
    yield f"{path}: {counted(len(rules.routes), 'route')}. {_UNMATCHED_WORDS[rules.unmatched]}"


add_json_option(gate_check)


class _Tried(Struct):
    """How far a request came that was tried."""

    method: str
    target: str
    read: str | None = None
    """Its path as the gate compares it."""
    route: GateRoute | None = None
    quoted: Quoted | None = None
    refusal: GateError | Refused | None = None


@command("try", group=gate_group)
@click.argument("method", metavar="METHOD")
@click.argument("target", metavar="PATH")
@click.option("--file", help="The file of rules; FAREBOX_GATE_FILE unless told otherwise.")
@click.option("--merchant", help="Whom it would cost that; the default price, if not given.")
async def gate_try(context: CommandContext, method: str, target: str, file: str | None, merchant: str | None) -> None:
    """Tell which route a request would meet, and what it would cost. Exits with 1 if it would be refused."""
    number = await context.known_merchant(merchant)
    rules = load_rules(_path(file, context.farebox.settings))
    # As a server reads it: its characters are bytes.
    raw = os.fsencode(target).decode("latin-1")
    tried = _Tried(method, target)
    try:
        tried.read = normal_path(raw, rules.leniency).text
        tried.route = route = Matcher(rules).match(method, raw)
        if route.price is not None:
            tried.quoted = await context.farebox.services.quotes.quote(_asked(route.price), number)
    except (GateError, Refused) as error:
        tried.refusal = error
    context.answer(_data(tried), _lines(tried))
    if tried.refusal is not None:
        raise SystemExit(FAILED)


def _path(file: str | None, settings: Settings) -> Path:
    return Path(file or settings.gate_file or FILE_DEFAULT)


def _code(refusal: GateError | Refused) -> str:
    return refusal.code if isinstance(refusal, GateError) else str(refusal.outcome.code)


def _asked(price: RoutePrice) -> QuoteAsked:
    return QuoteAsked(price.request_type, price.quantity, price.quantities, amount=price.amount)


def _data(tried: _Tried) -> dict[str, Any]:
    refusal = tried.refusal
    return {
        "method": tried.method,
        "target": tried.target,
        "path": tried.read,
        "route": None if tried.route is None else route_data(tried.route),
        "quote": None if tried.quoted is None else msgspec.to_builtins(quote_data(tried.quoted)),
        "refusal": None if refusal is None else {"code": _code(refusal), "message": refusal.message},
    }


def _lines(tried: _Tried) -> Iterator[str]:
    route, quoted, refusal = tried.route, tried.quoted, tried.refusal
    if tried.read is not None and tried.read != tried.target:
        yield f"{tried.target} is read as {tried.read}."
    if route is not None and route.line is not None:
        yield f"It meets the route of line {route.line}, {method_words(route)} {route.pattern}: {passage_words(route)}."
    elif route is not None:
        yield f"No route is for it: {passage_words(route)}."
    if quoted is not None:
        yield f"It would cost {quote_words(quoted).amount} {quoted.currency or ''}".rstrip() + "."
    if refusal is not None:
        yield f"{tried.method} {tried.target} would be refused: {_code(refusal)}: {refusal.message}"
    else:
        yield f"{tried.method} {tried.target} would be let through."
