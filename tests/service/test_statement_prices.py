"""Computing ruled amounts again from an export alone: what Farebox charged is clean, and a forger's is found."""

import asyncio
import io
import json
import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core import chain
from farebox.core.accounts import Kind
from farebox.core.commands import CaptureHold, Charge, Command, CreateHold, ExpireHold, Payer, Refund, ReleaseHold
from farebox.core.money import format_amount
from farebox.core.outcomes import Outcome
from farebox.core.prices import Price
from farebox.core.pricing.priced import Priced, priced_text
from farebox.core.pricing.rules import Rule
from farebox.core.quotes import requoted
from farebox.core.transfers import Transfer
from farebox.service.errors import InvalidInput
from farebox.service.inputs import format_time
from farebox.service.price_texts import read_rule, write_rule
from farebox.service.statements.check import LINE_BYTES_MAX, Report, check_statement
from farebox.service.statements.price_check import PriceCheck
from farebox.service.statements.reader import QueryLimits, Statements
from farebox.storage.stores import Stores
from farebox_client import statement as offline
from tests.service.books import memory_stores
from tests.support.effort import examples
from tests.support.ledger import ANN, NOW, SECOND, UNIT, add_merchant, add_price, do
from tests.support.price_rules import PLAIN, quantities_of, rules

_GUIDE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "verify-a-statement.md"
_DAY: Final = 24 * 3600 * SECOND
_PAYER: Final = Payer(ANN)
Forge = Callable[[list[dict[str, Any]]], object]

CHAT: Final = {
    "lines": [
        {"name": "input", "amount": "0.15", "per": 1000000},
        {"name": "output", "amount": "0.60", "per": 1000000},
    ],
    "tiers": {
        "by": ["input"],
        "from": [{"from": 200001, "lines": [{"name": "input", "amount": "2.50", "per": 1000000}]}],
    },
}
CALLS: Final = {
    "lines": [{"name": "calls", "amount": "0.01", "included": 100}],
    "windows": {
        "zone": "UTC",
        "windows": [{"days": ["fri"], "from": "08:00", "until": "08:01", "lines": [], "base": "1.00"}],
    },
    "period": {"unit": "month", "zone": "Europe/Berlin"},
}


def _charge(request_type: str, key: str, **quantities: int) -> Charge:
    return Charge(_PAYER, request_type, 1, key, quantities=tuple(quantities.items()))


def _hold(request_type: str, key: str, **quantities: int) -> CreateHold:
    return CreateHold(_PAYER, request_type, 1, key, quantities=tuple(quantities.items()))


async def _exported(stores: Stores, start: int | None = None, end: int | None = None) -> list[str]:
    times = [None if time is None else format_time(time) for time in (start, end)]
    pieces = await Statements(stores, QueryLimits(export_rows=2)).export_lines(ANN, start=times[0], end=times[1])
    return b"".join([piece async for piece in pieces]).decode().splitlines()


async def _keep() -> Stores:
    """Give Ann requests of a type with tiers, of one with a window and counts, of a free one and of a unit price."""
    stores = memory_stores()
    await add_merchant(stores, funds=1_000)
    await add_price(stores)
    await add_price(stores, 2, request_type="chat", unit_price=None, rule=read_rule("rule", CHAT))
    await add_price(stores, 3, request_type="calls", unit_price=None, rule=read_rule("rule", CALLS))
    commands: list[Command] = [
        _charge("chat", "a", input=3, output=7),
        _charge("chat", "b", input=200_001),
        Charge(_PAYER, "image", 2, "c"),
        _charge("calls", "d", calls=5),
        Refund(ANN, 3, "e", 100_000),
        _charge("calls", "f", calls=90),
        _hold("calls", "g", calls=20),
        CaptureHold(ANN, 8, "h", quantities=(("calls", 8),)),
        _charge("calls", "i", calls=4),
        _hold("calls", "j", calls=7),
        ReleaseHold(ANN, 12, "k"),
        _charge("calls", "l", calls=1),
        _charge("chat", "m"),
    ]
    for number, command in enumerate(commands):
        (outcome,) = await do(stores, command, now=NOW + number * 15 * SECOND)
        assert outcome.is_ok, outcome
    return stores


LINES: Final = tuple(asyncio.run(_exported(asyncio.run(_keep()))))


def _check(lines: Sequence[str], prices: PriceCheck | None = None) -> Report:
    return check_statement(io.BytesIO("".join(f"{line}\n" for line in lines).encode()), prices=prices)


def _told(report: Report) -> list[str]:
    return [f"{fault.seq}: {fault.text}" for fault in report.faults]


def _script_result(folder: Path, lines: Sequence[str]) -> str:
    path = folder / "statement.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    try:
        result: str = offline.verify(str(path))
    except offline.NotClean as error:
        return f"{type(error).__name__}: {error}"
    return result


def _transfer(pricing: str) -> Transfer:
    return Transfer(ANN, 2, Kind.CHARGE, 0, "key", b"", 0, 0, NOW, b"", "chat", 1, None, 2, pricing=pricing)


def _is_priced(data: dict[str, Any]) -> bool:
    return data.get("pricing") is not None


def test_each_rule_stands_once_before_the_first_transfer_that_names_it(tmp_path: Path) -> None:
    data = [json.loads(line) for line in LINES]
    rules = {item["priceId"]: place for place, item in enumerate(data) if "rule" in item}
    named = [item["priceId"] for item in data if _is_priced(item)]
    assert list(rules) == list(dict.fromkeys(named))
    assert [CHAT, CALLS] == [data[place]["rule"] for place in rules.values()]
    assert all(data[place + 1]["priceId"] == price_id for price_id, place in rules.items())
    assert [] == _told(_check(LINES))
    assert "Clean: 15 transfers" in _script_result(tmp_path, LINES)


def test_each_part_of_a_book_explains_itself_and_continues_the_one_before(tmp_path: Path) -> None:
    stores = asyncio.run(_keep())
    for cut in range(1, 14):
        parts = [
            asyncio.run(_exported(stores, *ends))
            for ends in ((None, NOW + cut * 15 * SECOND), (NOW + cut * 15 * SECOND, None))
        ]
        prices = PriceCheck()
        for part in parts:
            assert [] == _told(_check(part))
            assert [] == _told(_check(part, prices))
            assert _script_result(tmp_path, part).startswith("Clean: ")


def _set(key: str, **fields: Any) -> Forge:
    def forge(data: list[dict[str, Any]]) -> None:
        (line,) = (item for item in data if item.get("idempotencyKey") == key)
        assert all(line.get(name) != value for name, value in fields.items())
        line.update(fields)

    return forge


def _price(request_type: str, **fields: Any) -> Forge:
    def forge(data: list[dict[str, Any]]) -> None:
        (line,) = (item for item in data if "rule" in item and item["type"] == request_type)
        line.update(fields)

    return forge


def _without_price(data: list[dict[str, Any]]) -> None:
    del data[next(place for place, item in enumerate(data) if "rule" in item)]


def _twice(data: list[dict[str, Any]]) -> None:
    place = next(place for place, item in enumerate(data) if "rule" in item)
    data.insert(place, data[place])


def _rechained(data: list[dict[str, Any]]) -> list[str]:
    """Compute every hash and balance anew, as one who holds the database could."""
    last, balances = data[0]["previousHash"], {"wallet": 0, "held": 0}
    for item in data[1:-1]:
        if "rule" in item:
            continue
        for account, name in (("wallet", "available"), ("held", "held")):
            item[f"{name}Before"] = format_amount(balances[account])
            sign = (item["credit"] == account) - (item["debit"] == account)
            balances[account] += sign * offline.micros(item["amount"])
            item[f"{name}After"] = format_amount(balances[account])
        canonical = offline.canonical_bytes(data[0]["merchantId"], item)
        last = item["hash"] = blake2b(bytes.fromhex(last) + canonical, digest_size=32).hexdigest()
    data[-1] |= {
        "lastHash": last,
        "available": format_amount(balances["wallet"]),
        "held": format_amount(balances["held"]),
    }
    return [json.dumps(item, ensure_ascii=False, separators=(",", ":")) for item in data]


DEARER: Final = {**CHAT, "lines": [{"name": "input", "amount": "0.30", "per": 1000000}, CHAT["lines"][1]]}  # type: ignore[index]

FORGERIES: Final[list[tuple[str, Forge, str, bool]]] = [
    ("an amount", _set("a", amount="0.000006"), "2: the amount is 0.000006, its price comes to 0.000005", True),
    (
        "a quantity",
        _set("a", pricing="input=30,output=7"),
        "2: the amount is 0.000005, its price comes to 0.000009",
        True,
    ),
    ("a tier", _set("b", pricing="input=200001"), "3: what it was priced by is not what its price comes to", True),
    ("a price", _price("chat", rule=DEARER), "2: the amount is 0.000005, its price comes to 0.000006", True),
    ("the price's type", _price("chat", type="chats"), "2: names a price that is not there, or no rule", True),
    ("no price", _without_price, "2: its price is not in this statement before it", True),
    ("a price twice", _twice, "2: this price stands here twice", False),
    (
        "a price of another",
        _price("chat", merchantId="mer_0000000000001"),
        "2: this price is another merchant's own",
        False,
    ),
    ("a price that is none", _price("chat", rule={"lines": []}), "2: this price can't be read: rule.lines: ", True),
    ("a price's id", _price("chat", priceId="price_x"), "2: this price has an id that is none", True),
    ("a price with more", _price("chat", remark=""), "2: this can't be read as a price: ", False),
    ("a price in other words", _price("chat", rule={**CHAT, "minimum": "0"}), "2: this price is not written as", False),
    ("a unit price", _set("c", amount="3.00"), "4: the amount is not unit price x quantity", True),
    ("no rule", _set("m", pricing=None), "15: its price is a rule, but the line does not say", False),
    (
        "a window",
        _set("l", pricing="calls=1;window=1;before=calls:102;at=1800000165000000"),
        "14: the amount is 0.01",
        True,
    ),
    (
        "no such window",
        _set("l", pricing="calls=1;window=2;at=1800000165000000"),
        "14: what it was priced by can't be",
        True,
    ),
    (
        "a time",
        _set("d", pricing="calls=5;window=1;at=1800099945000000"),
        "5: it names another window",
        False,
    ),
    ("no time", _set("l", pricing="calls=1;before=calls:102"), "14: it names a time where its price has none", False),
    (
        "a time that no calendar has",
        _set("l", pricing=f"calls=1;before=calls:102;at={10**30}"),
        "14: what it was",
        False,
    ),
    (
        "a count",
        _set("l", pricing="calls=1;before=calls:99;at=1800000165000000", amount="0.00"),
        "14: the units of its",
        False,
    ),
    (
        "a quantity that it has not",
        _set("m", pricing="word=1"),
        "15: its quantities are none that its price has",
        False,
    ),
    ("a negative quantity", _set("m", pricing="input=-1"), "15: its quantities are none that its price has", False),
    ("what is no pricing", _set("m", pricing="none"), "15: what it was priced by can't be read", True),
    (
        "a capture of more",
        _set("h", pricing="calls=21;before=calls:90;at=1800000090000000", amount="0.11"),
        "9: a capture is",
        False,
    ),
]


@pytest.mark.parametrize(
    ("forge", "expected", "script_sees_it"), [case[1:] for case in FORGERIES], ids=[c[0] for c in FORGERIES]
)
def test_a_forger_who_computes_all_hashes_and_balances_anew_is_found(
    tmp_path: Path, forge: Forge, expected: str, script_sees_it: bool
) -> None:
    """The script knows no calendar, follows no counts and does not mind how a line is written."""
    data = [json.loads(line) for line in LINES]
    forge(data)
    lines = _rechained(data)
    told = _told(_check(lines))
    assert any(text.startswith(expected) for text in told), told
    assert script_sees_it is not _script_result(tmp_path, lines).startswith("Clean: ")


def _priced_tables(guide: str) -> list[tuple[dict[str, Any], str, str]]:
    """Read every rule of the guide with the lines of the table below it: `pricing` and `amount`."""
    return [
        (json.loads(rule), pricing, amount)
        for rule, table in re.findall(r"```json\n([^`]*)```\n\n((?:\|.*\n)+)", guide)
        for pricing, amount in re.findall(r"^\| `(.*?)` .*\| `(.*?)` \|$", table, re.MULTILINE)
    ]


def test_the_guide_computes_as_the_example_and_as_farebox_does() -> None:
    guide = _GUIDE.read_text(encoding="utf-8")
    rows = [row for row in _priced_tables(guide) if row[1] != "pricing"]
    assert len(rows) == 5
    for rule, pricing, amount in rows:
        price = Price(2, "chat", None, NOW, rule=read_rule("rule", rule))
        line = _transfer(pricing)
        quote = requoted(price, line)
        assert not isinstance(quote, Outcome)
        assert (amount, pricing) == (format_amount(quote.amount), quote.pricing)
        assert quote.amount == offline.cost(rule, pricing)


def test_the_guide_names_every_field_and_part() -> None:
    guide = _GUIDE.read_text(encoding="utf-8")
    for line in LINES:
        assert [] == [name for name in json.loads(line) if f"`{name}`" not in guide]
    assert f"`{chain.PRICED_ENCODING}`" in guide
    priced = Priced({"input": 1200, "output": 350}, 1, 2, {"input": 4_999_950}, 1_774_735_200_000_000)
    assert f"\n{priced_text(priced)}\n" in guide


def test_what_was_only_rechained_is_the_same() -> None:
    assert list(LINES) == _rechained([json.loads(line) for line in LINES])


def test_a_price_that_was_another_one_in_an_earlier_statement_is_found() -> None:
    prices = PriceCheck()
    assert [] == _told(_check(LINES, prices))
    data = [json.loads(line) for line in LINES]
    _price("chat", startsAt="2027-01-15T08:00:00.000001Z")(data)
    assert "2: this price was another one in a statement before" in _told(_check(_rechained(data), prices))


def test_the_longest_price_is_read_and_a_longer_line_is_one_fault() -> None:
    name = "n" * 60
    steps = [{"from": 10 * number + 1, "amount": "0.000001", "per": 10**12} for number in range(16)]
    rule = {"lines": [{"name": f"{name}{number}", "graduated": steps} for number in range(32)]}
    rule["tiers"] = {"by": [f"{name}0"], "from": [{"from": 100 + start, "lines": rule["lines"]} for start in range(16)]}  # type: ignore[assignment]

    async def keep() -> list[str]:
        stores = memory_stores()
        await add_merchant(stores, funds=1)
        await add_price(stores, 2, request_type="chat", unit_price=None, rule=read_rule("rule", rule))
        (outcome,) = await do(stores, _charge("chat", "a", **{f"{name}0": 120}))
        assert outcome.is_ok
        return await _exported(stores)

    lines = asyncio.run(keep())
    assert len(lines[2]) > LINE_BYTES_MAX
    assert [] == _told(_check(lines))
    lines.insert(2, '{"priceId":' + " " * 17 * 1024 * 1024)
    (told,) = _told(_check(lines))
    assert told == "2: this can't be read as a price: it is longer than any line of a statement"


def _can_be_named(rule: Rule) -> bool:
    try:
        return read_rule("rule", write_rule(rule)) == rule
    except InvalidInput:
        # The system knows zones that are not published.
        return False


@examples(30)
@given(st.data())
def test_whatever_was_charged_by_any_rule_is_clean(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Also from the middle of the book on, where counts have to be taken as they are written."""
    rule = data.draw(rules(PLAIN).filter(_can_be_named))
    quantities = quantities_of(rule, PLAIN.quantities)

    async def keep() -> list[list[str]]:
        stores = memory_stores()
        await add_merchant(stores, funds=10**12)
        await add_price(stores, 2, request_type="chat", unit_price=None, rule=rule)
        held: list[int] = []
        seq, moments = 1, [NOW]
        for number in range(data.draw(st.integers(1, 8))):
            moments.append(moments[-1] + data.draw(st.sampled_from((0, SECOND, _DAY // 2, 20 * _DAY))))
            kind = data.draw(st.sampled_from(("charge", "hold", "capture", "amount", "release", "expire", "refund")))
            named = tuple(sorted(data.draw(quantities).items()))
            hold = held.pop() if held and kind in ("capture", "amount", "release", "expire") else None
            command: Command = Charge(_PAYER, "chat", 1, f"{number}", quantities=named)
            if kind == "hold":
                command = CreateHold(_PAYER, "chat", 1, f"{number}", quantities=named, ttl_seconds=3600)
            elif hold is not None:
                ends: dict[str, Command] = {
                    "capture": CaptureHold(ANN, hold, f"{number}", quantities=named),
                    "amount": CaptureHold(ANN, hold, f"{number}", UNIT),
                    "release": ReleaseHold(ANN, hold, f"{number}"),
                    "expire": ExpireHold(ANN, hold),
                }
                command = ends[kind]
            elif kind == "refund" and seq > 1:
                command = Refund(ANN, 2, f"{number}", 1)
            (outcome,) = await do(stores, command, now=moments[-1])
            account = await stores.accounts.find(ANN)
            assert account is not None
            if outcome.is_ok and kind == "hold" and account.seq > seq:
                held.append(account.seq)
            seq = account.seq
        cut = data.draw(st.sampled_from(moments))
        return [await _exported(stores), await _exported(stores, None, cut), await _exported(stores, cut, None)]

    folder = tmp_path_factory.getbasetemp()
    whole, *parts = asyncio.run(keep())
    prices = PriceCheck()
    for lines, continued in ((whole, None), (parts[1], None), (parts[0], prices), (parts[1], prices)):
        assert [] == _told(_check(lines, continued))
        assert _script_result(folder, lines).startswith("Clean: ")
