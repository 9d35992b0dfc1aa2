"""Readers of what was written earlier: exported statements, stored rows, a book's times, the operator's settings."""

import asyncio
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final, cast

import msgspec
from msgspec.structs import astuple

from farebox import background, bootstrap
from farebox.config import CONFIG_FILE, Settings, SettingsError
from farebox.core.accounts import Account
from farebox.core.holds import Hold
from farebox.core.invariants import InvariantViolation
from farebox.core.money import BALANCE_MICROS_MAX
from farebox.core.replaying.books import Replay
from farebox.core.thresholds import Threshold
from farebox.core.transfers import Transfer
from farebox.service.statements.check import check_statement
from farebox.service.statements.reader import Statements
from farebox.service.statements.seek import last_transfers
from farebox.storage import rows
from farebox.storage.columns import TRANSFER
from farebox.storage.transfers import TransferStore
from farebox_client import statement as offline
from tests.fuzz.making import any_bytes, any_text, digits, edited, edited_bytes, joined, just, one_of
from tests.fuzz.target import Target, run_now
from tests.fuzz.texts import AMOUNTS
from tests.service.books import keep_book, memory_stores
from tests.support.ledger import ANN, book


async def _kept() -> tuple[bytes, list[Transfer], Account, list[Hold]]:
    stores = memory_stores()
    await keep_book(stores)
    account = await stores.accounts.find(ANN)
    assert account is not None
    pieces = await Statements(stores).export_lines(ANN, start=None, end=None)
    async with stores.connector.snapshot() as snapshot:
        holds = list(await snapshot.holds(ANN))
    return b"".join([piece async for piece in pieces]), list(await book(stores)), account, holds


EXPORT, TRANSFERS, ACCOUNT, HOLDS = asyncio.run(_kept())

# Statements.

_LINES: Final = EXPORT.splitlines(keepends=True)


def _statement(random: Random) -> bytes:
    lines = list(_LINES)
    match random.randrange(5):
        case 0:
            del lines[random.randrange(len(lines))]
        case 1:
            lines.insert(random.randrange(len(lines)), random.choice(lines))
        case 2:
            random.shuffle(lines)
        case 3:
            number = random.randrange(len(lines))
            data = json.loads(lines[number])
            name = random.choice(list(data))
            data[name] = random.choice((None, 0, 10**400, [], any_text(random), AMOUNTS(random), "1e999999", "NaN"))
            lines[number] = json.dumps(data, separators=(",", ":"), ensure_ascii=random.random() < 0.5).encode(
                "utf-8", "surrogatepass"
            ) + random.choice((b"\n", b"\r\n", b""))
        case _ if random.random() < 0.01:
            lines[random.randrange(len(lines))] = random.choice((b"[", b'{"count":', b"{" * 3)) * 70_000
    content = b"".join(lines)
    return edited_bytes(lambda _: content)(random)


def _without_name(content: bytes) -> tuple[Any, bytes]:
    """Part an export into its header, whose name no hash covers, and the rest."""
    header, _, rest = content.partition(b"\n")
    try:
        found = json.loads(header)
        if header != json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode():
            return None, rest
        return {**found, "name": type(found["name"])}, rest.removesuffix(b"\n")
    except (LookupError, ValueError, TypeError, RecursionError):
        return None, rest


def _check_statement(content: bytes) -> None:
    report = check_statement(io.BytesIO(content))
    assert report.faults_count >= len(report.faults)
    assert (report.faults_count == 0) is (_without_name(content) == _without_name(EXPORT)), report.faults
    for fault in report.faults:
        assert fault.text.isprintable(), fault.text


def _check_script(content: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            verdict = offline.verify(file.name)
        except offline.NotClean:
            # It is short, and less strict; but what the command takes, it takes.
            assert check_statement(io.BytesIO(content)).faults_count
        else:
            assert verdict.startswith("Clean: 15 transfers, ends at -36.999999 USD available")


# Stored rows.

_BIG: Final = one_of(
    just(0, 1, -1, BALANCE_MICROS_MAX, -BALANCE_MICROS_MAX, BALANCE_MICROS_MAX + 1, 2**63 - 1, -(2**63)),
    lambda random: random.randint(-100, 100),
    lambda random: random.randint(-(2**63), 2**63 - 1),
)


_TRANSFER_COLUMNS: Final = TRANSFER.names
_TEXTS: Final = ("request_type", "reference", "note")


def _stored(random: Random, value: Any) -> Any:
    """Make another value of a column's type."""
    if isinstance(value, bytes):
        return edited_bytes(lambda _: value)(random)
    if isinstance(value, str):
        return edited(lambda _: value)(random)
    return random.choice((_BIG(random), int(value) + random.choice((-1, 0, 1))))


def _changed(random: Random, row: Sequence[Any]) -> tuple[Any, ...]:
    """Change values of a row, each within its column's type; what is absent stays so, or is there."""
    values = list(row)
    for _ in range(random.randint(0, 2)):
        place = random.randrange(len(values))
        absent = ("", "R-9", None) if _TRANSFER_COLUMNS[place] in _TEXTS else (0, 1, None)
        values[place] = random.choice(absent) if values[place] is None else _stored(random, values[place])
    return tuple(values)


def _thresholds(random: Random) -> str:
    good = msgspec.json.encode([Threshold(_BIG(random), random.random() < 0.5) for _ in range(random.randint(0, 6))])
    return edited(lambda _: good.decode())(random) if random.random() < 0.5 else good.decode()


def _account_row(random: Random) -> tuple[Any, ...]:
    wallet, held, revenue, funding, promotions = (random.randint(0, 10**9) for _ in range(5))
    account = Account(
        ANN,
        "USD",
        wallet,
        held,
        revenue,
        -funding,
        funding + promotions - wallet - held - revenue,
        -promotions,
        seq=7,
        last_at=1,
        is_exhausted=random.random() < 0.5,
        given=random.randint(0, wallet),
        grants_count=random.randint(0, 9),
        owed=random.choice((0, 0, 5)),
        closed_at=random.choice((None, None, 1)),
    )
    return _changed(random, (*astuple(account)[:-1], _thresholds(random)))


def _with_truth_values(row: tuple[Any, ...]) -> list[Any]:
    """List a row's values without the thresholds, truth values as such."""
    is_truth = [name.startswith("is_") for name in Account.__struct_fields__]
    return [bool(value) if truth else value for value, truth in zip(row[:-1], is_truth[:-1], strict=True)]


def _is_sound(account: Account) -> bool:
    outside = [account.funding, account.adjustments, account.promotions]
    balances = [account.wallet, account.held, account.revenue, *outside]
    not_negative = (account.held, account.revenue, account.credit_limit, account.given, account.owed)
    return (
        sum(balances) == 0
        and all(abs(balance) <= BALANCE_MICROS_MAX for balance in balances)
        and account.wallet - account.given >= -account.credit_limit
        and min(*not_negative, -account.funding, -account.promotions) >= 0
        and (account.closed_at is None or not any((account.wallet, account.held, account.given, account.owed)))
        and len(account.thresholds) <= 5
        and (
            # Of a book that no money has moved in, nothing was told yet.
            (account.revenue, *outside) == (0, 0, 0, 0)
            or not any(item.is_armed and account.posted < item.amount for item in account.thresholds)
        )
    )


def _check_account_row(row: tuple[Any, ...]) -> None:
    try:
        account = rows.checked_account_from_row(row)
    except InvariantViolation:
        try:
            thresholds = msgspec.json.decode(row[-1], type=tuple[Threshold, ...])
        except (ValueError, msgspec.DecodeError):
            return
        values = [*_with_truth_values(row), thresholds]
        assert not _is_sound(Account(**dict(zip(Account.__struct_fields__, values, strict=True))))
    else:
        assert _is_sound(account)
        written = rows.account_to_row(account)
        assert _with_truth_values(row) == list(written[:-1])
        assert account == rows.checked_account_from_row(written)


def _hold_row(random: Random) -> tuple[Any, ...]:
    return _changed(random, astuple(random.choice(HOLDS)))


def _check_hold_row(row: tuple[Any, ...]) -> None:
    _, _, amount, _, state, captured, *_ = row
    is_sound = amount >= 0 and 0 <= captured <= amount and (state == 2 or captured == 0)
    try:
        hold = rows.checked_hold_from_row(row)
    except InvariantViolation:
        assert not is_sound
    else:
        assert is_sound
        assert row == rows.hold_to_row(hold)


def _book_rows(random: Random) -> list[tuple[Any, ...]]:
    found = [astuple(transfer) for transfer in TRANSFERS]
    place = random.randrange(len(found))
    match random.randrange(4):
        case 0:
            del found[place]
        case 1:
            other = random.randrange(len(found))
            found[place], found[other] = found[other], found[place]
        case _:
            found[place] = _changed(random, found[place])
    return found


_ORIGINALS: Final = {transfer.seq: transfer for transfer in TRANSFERS}
_DAMAGED: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What the audit takes for a row that can't be read."""


def _check_book(found: list[tuple[Any, ...]]) -> None:
    replay = Replay(ANN)
    try:
        faults = list(replay.feed_rows(found))
        originals = {seq: _ORIGINALS[seq] for seq in replay.returned if seq in _ORIGINALS}
        faults += replay.finish(ACCOUNT, HOLDS, originals)
    except _DAMAGED as error:
        faults = [str(error)]
    assert bool(faults) is (found != [astuple(transfer) for transfer in TRANSFERS])


# Where a time lies in a book.


class _Times:
    """A store that has a book's times, and nothing else."""

    def __init__(self, times: Sequence[int]) -> None:
        self._transfers = [
            msgspec.structs.replace(TRANSFERS[0], seq=seq, committed_at=at) for seq, at in enumerate(times, 1)
        ]

    async def at(self, merchant_id: int, seqs: Sequence[int]) -> Mapping[int, Transfer]:
        return {seq: self._transfers[seq - 1] for seq in seqs if 1 <= seq <= len(self._transfers)}


def _moments(random: Random) -> tuple[list[int], list[int]]:
    reach = random.choice((3, 30, 10**15))
    times = sorted(random.randint(0, reach) for _ in range(random.randint(0, random.choice((3, 40)))))
    return times, [random.randint(-1, reach + 1) for _ in range(random.randint(0, 4))]


def _check_moments(made: tuple[list[int], list[int]]) -> None:
    times, moments = made
    account = Account(ANN, "USD", seq=len(times))
    found = run_now(last_transfers(cast(TransferStore, _Times(times)), account, moments))
    for moment, transfer in zip(moments, found, strict=True):
        assert sum(at <= moment for at in times) == (0 if transfer is None else transfer.seq)


# Settings.

_NAMES: Final = Settings.__struct_fields__
_PLAUSIBLE: Final = {
    "database_url": ("sqlite:///farebox.db", "postgresql://u:p@host/db", "postgresql://u:p@a:5432,b:5433/db?ssl=true"),
    "smtp_url": ("smtp://user:pass@mail.example:587?starttls=true", "smtps://mail.example", "smtp://[::1]:25", ""),
    "smtp_connections": ("20", "1", "100"),
    "credit_notice_days": ("7", "0", "365"),
    "mail_from": ("alerts@example.com", "Northwind <alerts@example.com>"),
    "public_url": ("https://pay.example", "http://[::1]:8000/"),
    "cors_origins": ("https://a.example, https://b.example/", "*"),
    "approval_above": ("1000", "0.000001", ""),
    "rate_limit": ("1000", "0", "0.5"),
    "rate_limit_staff": ("1000", "0", "0.5"),
    "bad_keys": ("10", "0", "0.5"),
    "secret_key": ("a3f09c5e71d2b8463a1f0e9d7c5b2846", "", "short"),
    "support_contact": ("support@pay.example", ""),
    "gate_file": ("/etc/farebox/gate.toml", "gate.toml", ""),
    "gate_secret": ("9d7c5b2846a3f09c5e71d2b8463a1f0e", "", "short"),
    "operator_name": ("Northwind", "Søren & Søn", ""),
    "logo_file": ("/etc/farebox/logo.png", "logo.jpg", ""),
    "templates": ("/etc/farebox/templates", "templates", ""),
    "language": ("en", "DE", "pt", "tlh"),
    "tracing": ("on", "off", "", "ON"),
    "trusted_proxies": ("10.0.0.0/8, ::1", "127.0.0.1"),
    "webhook_networks": ("10.0.0.0/8, ::1", "127.0.0.1"),
    "metrics_address": ("127.0.0.1:9464", "[::]:9464", ""),
    "metrics_token": ("5b2846a3f09c9d7c71d2b8463a1f0e0e", "", "short"),
    "log_format": ("text", "json"),
    "access_log": ("on", "off"),
}
_SECRET: Final = "Pa55wordOfMine"
_FOLDER: Final = tempfile.TemporaryDirectory(prefix="farebox-fuzz-")


def _setting(random: Random, name: str) -> str:
    login = joined(just("smtp://u:", "postgresql://u:", "mysql://", ""), just(_SECRET), just("@h:", "/", ""), digits(6))
    make = one_of(
        *[edited(just(*_PLAUSIBLE[name]))] * 3, login if name in ("database_url", "smtp_url") else any_text, any_text
    )
    # No environment holds a zero byte, and bytes that are no text come as half surrogates.
    text: str = make(random)
    return text.replace("\x00", "").encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")


def _settings(random: Random) -> tuple[dict[str, str], bytes | None]:
    environment = {
        f"FAREBOX_{name.upper()}": _setting(random, name) for name in _NAMES if random.random() < 2 / len(_NAMES)
    }
    if random.random() < 0.6:
        return environment, None
    chosen = random.sample(_NAMES, random.randint(0, 3))
    lines = [f"{name} = {json.dumps(_setting(random, name), ensure_ascii=False)}" for name in chosen]
    if random.random() < 0.2:
        lines.append(random.choice(("colour = 'red'", "rate_limit = 5", "[section]", "a.b = 'c'", any_text(random))))
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    return environment, random.choice((content, edited_bytes(lambda _: content)(random), any_bytes(random)))


def _check_settings(made: tuple[dict[str, str], bytes | None]) -> None:
    environment, content = made
    folder = Path(_FOLDER.name)
    (folder / CONFIG_FILE).write_bytes(content or b"")
    try:
        settings = Settings.load(environment, folder)
        bootstrap.make_connector(settings)
        background.make_transport(settings)
    except SettingsError as refusal:
        _check_refusal(str(refusal))
        return
    assert settings == Settings.load(settings.environment, folder)
    secrets = (settings.database_url, settings.smtp_url, settings.secret_key, settings.gate_secret)
    assert not any(secret and repr(str(secret)) in repr(settings) for secret in secrets)
    rates = (settings.rate_limit, settings.rate_limit_staff, settings.bad_keys)
    assert all(0 <= rate < 10**9 for rate in rates)
    assert not any("," in text or text != text.strip() for text in settings.cors_origins)


def _check_refusal(words: str) -> None:
    assert words
    assert _SECRET not in words


def record_targets() -> list[Target[Any]]:
    """List what reads what was written down."""
    return [
        Target("statements", _statement, _check_statement, 60),
        Target("statements, by the client", _statement, _check_script, 20),
        Target("stored accounts", _account_row, _check_account_row, 40),
        Target("stored holds", _hold_row, _check_hold_row, 20),
        Target("stored books", _book_rows, _check_book, 40),
        Target("moments of a book", _moments, _check_moments, 30),
        Target("settings", _settings, _check_settings, 40),
    ]
