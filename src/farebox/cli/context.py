"""What every command shares: settings, a running Farebox, output as text or JSON, and errors as one line."""

import asyncio
import getpass
import logging
import os
import re
import sys
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from functools import wraps
from typing import Any, Final, NoReturn, TypeVar
from zoneinfo import ZoneInfo

import click
import msgspec
from msgspec import Struct

from farebox.bootstrap import Farebox
from farebox.config import Settings, SettingsError
from farebox.core import ids
from farebox.core.invariants import InvariantViolation
from farebox.core.staff_roles import EVERY_ROLE
from farebox.observe import configure_logging
from farebox.presenters.times import at
from farebox.service import inputs
from farebox.service.errors import (
    Conflict,
    DatabaseReplaced,
    FateUnknown,
    InvalidInput,
    Missing,
    Refused,
    ServiceError,
    Unavailable,
    UnknownMerchant,
)
from farebox.service.insight.quarters import By
from farebox.service.people.api_keys import Principal
from farebox.service.typed_amounts import typed_amount
from farebox.storage.interface import CopyUnfinished, LedgerMoved, SchemaMismatch, SchemaMissing, StorageError

FAILED: Final = 1
MISUSED: Final = 2
_NEGATIVE: Final = re.compile(r"-[0-9.]")
_CAPITAL: Final = re.compile(r"(?<=[a-z])([A-Z])")
_CODES: Final[dict[type[Exception], str]] = {
    InvalidInput: "invalid_value",
    Missing: "not_found",
    UnknownMerchant: "merchant_not_found",
    Conflict: "conflict",
    FateUnknown: "outcome_unknown",
    Unavailable: "unavailable",
    DatabaseReplaced: "database_replaced",
    SettingsError: "invalid_settings",
    SchemaMismatch: "schema_mismatch",
    SchemaMissing: "schema_mismatch",
    LedgerMoved: "ledger_moved",
    CopyUnfinished: "copy_unfinished",
}


class CommandContext:
    """One run of a command: the parts it works with, and where its answer goes."""

    def __init__(self, farebox: Farebox, *, is_json: bool) -> None:
        """Answer as text or as JSON."""
        self.farebox = farebox
        self.is_json = is_json

    @property
    def principal(self) -> Principal:
        """The person at this shell, by the system's name for them; who has the shell may do everything."""
        return Principal(f"shell:{_user_name()}", roles=EVERY_ROLE)

    async def typed_amount(
        self,
        field: str,
        text: str,
        merchant_number: int | None,
        *,
        is_zero_allowed: bool = False,
        is_minus_allowed: bool = False,
    ) -> str:
        """Read an amount as people type it, in a merchant's currency; in any, if no merchant has this number.

        Raises:
            InvalidInput: it is no amount, or can be read in two ways.
        """
        account = None if merchant_number is None else await self.farebox.services.queries.account(merchant_number)
        return typed_amount(
            field,
            text,
            "" if account is None else account.currency,
            is_zero_allowed=is_zero_allowed,
            is_minus_allowed=is_minus_allowed,
            is_shown_first=False,
        )

    async def known_merchant(self, merchant: str | None) -> int | None:
        """Read whose list is wanted; None for everybody's.

        Raises:
            UnknownMerchant: there is no such merchant.
        """
        number = merchant_id_or_none(merchant)
        if number is not None:
            await self.farebox.services.merchants.get(number)
        return number

    async def price_currency(self, merchant_number: int | None) -> str:
        """Tell what prices are in; a default price is a number in whatever currency the merchant has, so that is ""."""
        if merchant_number is None:
            return ""
        return (await self.farebox.services.merchants.get(merchant_number))[1].currency

    def ensure_one_format(self, *, is_csv: bool) -> None:
        """See that the answer is asked for as CSV or as JSON, and not as both.

        Raises:
            InvalidInput: it is asked for as both.
        """
        if is_csv and self.is_json:
            raise InvalidInput("csv", "choose --csv or --json")

    def answer(self, data: Any, text: str | Iterable[str]) -> None:
        """Print the answer: `data` with --json, else `text`, a line or several."""
        answer(data, text, is_json=self.is_json)


def answer(data: Any, text: str | Iterable[str], *, is_json: bool) -> None:
    """Print an answer: `data` as one JSON document on a line of its own, or `text`, a line or several."""
    if is_json:
        click.echo(msgspec.json.encode(data).decode())
        return
    for line in [text] if isinstance(text, str) else text:
        click.echo(line)


def print_file(body: bytes) -> None:
    """Print a file as it is."""
    sys.stdout.buffer.write(body)
    sys.stdout.buffer.flush()


async def print_pieces(pieces: AsyncIterable[bytes]) -> None:
    """Print a file as it is, while it is made."""
    async for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number that has no name.
        return str(os.getuid())


def fail(code: str, message: str, status: int, *, is_json: bool) -> NoReturn:
    """Print an error as one line on stderr, or as JSON with --json, and exit."""
    if is_json:
        click.echo(msgspec.json.encode({"error": code, "message": message}).decode(), err=True)
    else:
        click.echo(f"farebox: {message}", err=True)
    sys.exit(status)


Body = Callable[..., Awaitable[None]]
_Result = TypeVar("_Result")


class _Command(click.Command):
    """A command that takes amounts below zero for what they are, and not for options that it does not know."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.ignore_unknown_options = any(_NEGATIVE.match(arg) for arg in args)
        return super().parse_args(ctx, args)


def command(name: str, *, group: click.Group | None = None, **options: Any) -> Callable[[Body], click.Command]:
    """Make a command, of a group if it has one, of a coroutine that takes a CommandContext and the parameters.

    It runs over an open database. `options` go to click.
    """

    def decorate(body: Body) -> click.Command:
        @wraps(body)
        def run(*, is_json: bool, **parameters: Any) -> None:
            async def with_farebox() -> None:
                farebox = Farebox.build(Settings.load())
                async with farebox.running():
                    await body(CommandContext(farebox, is_json=is_json), **parameters)

            guarded(lambda: asyncio.run(with_farebox()), is_json=is_json)

        made = add_json_option(click.command(name, _Command, **options)(run))
        if group is not None:
            group.add_command(made)
        return made

    return decorate


def add_json_option(made: click.Command) -> click.Command:
    """Give a command its --json."""
    made.params.append(click.Option(["--json", "is_json"], is_flag=True, help="Answer in JSON."))
    return made


def guarded(work: Callable[[], _Result], *, is_json: bool) -> _Result:
    """Return what a command's work comes to; what goes wrong ends it with one line that says what, and a status."""
    configure_logging(logging.CRITICAL)
    try:
        return work()
    except Refused as error:
        fail(error.outcome.code, error.message, FAILED, is_json=is_json)
    except InvalidInput as error:
        fail("invalid_value", f"{_named(error.field)}: {error.message}", MISUSED, is_json=is_json)
    except SettingsError as error:
        fail("invalid_settings", str(error), MISUSED, is_json=is_json)
    except (ServiceError, StorageError) as error:
        fail(_CODES.get(type(error), "failed"), _reason(error), FAILED, is_json=is_json)
    except InvariantViolation as error:
        fail("invariant_violation", f"the ledger is damaged: {error}; run: farebox verify", FAILED, is_json=is_json)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone; the interpreter must not try to flush it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)


def _named(field: str) -> str:
    """Name a field that the command's usage calls otherwise as it does there: --credit-limit for creditLimit."""
    context = click.get_current_context(silent=True)
    wanted = _CAPITAL.sub(r"_\1", field).lower()
    for parameter in context.command.params if context else ():
        option = max(parameter.opts, key=len)
        names = {name.lstrip("-").replace("-", "_").lower() for name in (*parameter.opts, parameter.metavar or "")}
        if field.lower() not in names and names & {wanted, wanted.removesuffix("s"), wanted.removesuffix("_seconds")}:
            return option if option.startswith("--") else (parameter.metavar or option.upper())
    return field


def _reason(error: Exception) -> str:
    """Say what went wrong, with the database's own words behind it if there are any."""
    is_of_database = isinstance(error, Unavailable | FateUnknown) and error.__cause__ is not None
    return f"{error} ({error.__cause__})" if is_of_database else str(error)


def merchant_id(text: str) -> int:
    """Read a MERCHANT argument."""
    return inputs.public_id("MERCHANT", ids.MERCHANT, text)


def merchant_id_or_none(text: str | None) -> int | None:
    """Read an option that names a merchant; None if it is not given."""
    return None if text is None else merchant_id(text)


def as_fields(data: Struct) -> dict[str, Any]:
    """Take a thing's fields as they stand in JSON, to tell more beside them."""
    fields: dict[str, Any] = msgspec.to_builtins(data)
    return fields


def counted(count: int, what: str) -> str:
    """Write how many there are of something: 1 transfer, 2,000 transfers."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def short_time(micros: int) -> str:
    """Write a time for people: to the second, in UTC."""
    return inputs.format_time(micros)[:19].replace("T", " ")


def start_words(micros: int, zone: ZoneInfo, *, by: By) -> str:
    """Write which day or hour of a zone begins at a time: 2026-01-31, 2026-01-31 14:00."""
    return at(micros, zone).strftime("%Y-%m-%d" if by == "day" else "%Y-%m-%d %H:%M")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Lay out rows in columns as wide as they need; the columns in `right` are aligned to the right."""
    if not rows:
        return []
    widths = [max(len(line[index]) for line in [header, *rows]) for index in range(len(header))]

    def laid_out(line: Sequence[str]) -> str:
        cells = [
            cell.rjust(widths[index]) if index in right else cell.ljust(widths[index])
            for index, cell in enumerate(line)
        ]
        return "  ".join(cells).rstrip()

    return [laid_out(line) for line in [header, *rows]]
