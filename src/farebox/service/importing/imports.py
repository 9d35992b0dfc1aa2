"""Imports: files are checked as a whole, then what is new is written in batches; twice the same changes nothing."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from farebox.core.approvals import NO_LIMITS, ApprovalLimits
from farebox.core.audit_log import Action, audit_entry
from farebox.core.currencies import fits_minor_unit, format_money_with_code, too_fine
from farebox.core.outcomes import Code
from farebox.core.permissions import Operation
from farebox.service import inputs
from farebox.service.catalogue.imports import Comparison, ListImport, PriceImports
from farebox.service.clock import Clock
from farebox.service.errors import InvalidInput
from farebox.service.importing.batches import BATCH_ROWS, BalanceResult, Batches
from farebox.service.importing.rows import (
    BALANCES,
    COLUMNS,
    KEYS,
    MERCHANTS,
    PRICES,
    ImportedBalance,
    ImportedKey,
    ImportedMerchant,
    price_list_of,
    read_balance,
    read_key,
    read_merchant,
    read_price,
)
from farebox.service.importing.tables import Problems, Row, read_rows
from farebox.service.ledger.committer import Committer
from farebox.service.people.api_keys import Principal
from farebox.service.plain_values import listed
from farebox.storage.stores import Stores

SHOWN_ROWS: Final = 20
"""How many new rows of each file are shown."""

_OPERATIONS: Final = (
    Operation.MANAGE_MERCHANTS,
    Operation.MANAGE_USERS,
    Operation.ADJUST,
    Operation.SET_PRICE,
    Operation.MANAGE_MERCHANT_KEYS,
)
_HASHED_BYTES: Final = 1 << 20
_TAG_BYTES: Final = 5

_Checked = TypeVar("_Checked", ImportedMerchant, ImportedBalance, ImportedKey)


class FileCounts(Struct):
    """What an import comes to in one file: rows that are new, there already, or wait for a second person."""

    new: int = 0
    there: int = 0
    waiting: int = 0
    shown: list[tuple[str, str]] = []
    """The first new rows: the reference or type, and what would be there."""

    def show(self, name: str, what: str) -> None:
        """Show a new row, if there is still room."""
        if len(self.shown) < SHOWN_ROWS:
            self.shown.append((name, what))


class Plan(Struct):
    """What an import comes to: counts by file, and the new balances' sums by currency."""

    tag: str
    files: dict[str, FileCounts]
    sums: dict[str, int]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is new."""
        return not any(counts.new or counts.waiting for counts in self.files.values())


class Imports:
    """Imports the files of another system. Every method may raise InvalidInput, Forbidden, Conflict or Unavailable."""

    def __init__(
        self,
        stores: Stores,
        committer: Committer,
        clock: Clock,
        price_imports: PriceImports,
        *,
        limits: ApprovalLimits = NO_LIMITS,
    ) -> None:
        """Write through these; `limits` is how much one person may move alone."""
        self._batches = Batches(stores, committer, clock, limits)
        self._clock = clock
        self._price_imports = price_imports

    async def plan(self, paths: Sequence[Path], *, principal: Principal) -> Plan:
        """Check all rows of all files, and tell what an import of this moment would change; nothing is written."""
        for operation in _OPERATIONS:
            principal.ensure_may(operation)
        return await _ImportCheck(self._batches, self._price_imports, _by_name(paths), principal).run()

    async def make(self, paths: Sequence[Path], *, principal: Principal) -> Plan:
        """Write what is new: merchants, then their balances, then prices, then keys, each in batches.

        Stopped at any moment and run again, it goes on: what is there is left as it is. Keys come last, so that nobody
        whose money has not arrived is refused for want of it.

        Returns:
            The plan as it was carried out.
        """
        plan = await self.plan(paths, principal=principal)
        if plan.is_empty:
            return plan
        files = _by_name(paths)
        # It stands ahead of what it tells of, whatever happens in between.
        await self._batches.note(
            audit_entry(
                principal.actor(),
                merchant_id=None,
                at=self._clock.now(),
                action=Action.IMPORT,
                subject=plan.tag,
                detail=_detail(plan),
            )
        )
        if MERCHANTS in files:
            for merchants in _in_batches(_good_rows(files[MERCHANTS], read_merchant)):
                known = await self._batches.currencies([row.merchant_id for row in merchants])
                if new := [row for row in merchants if row.merchant_id not in known]:
                    await self._batches.add_merchants(new, plan.tag)
        if BALANCES in files:
            for balances in _in_batches(_good_rows(files[BALANCES], read_balance)):
                await self._add_balances([row for row in balances if row.amount], principal)
        if PRICES in files:
            await self._add_prices(files[PRICES], principal)
        if KEYS in files:
            for keys in _in_batches(_good_rows(files[KEYS], read_key)):
                owners = await self._batches.owners(keys)
                if missing := [row for row in keys if row.digest not in owners]:
                    await self._batches.add_keys(missing)
        return plan

    async def _add_balances(self, balances: Sequence[ImportedBalance], principal: Principal) -> None:
        for result in await self._batches.add_balances(balances, principal):
            if not result.outcome.is_ok:
                raise InvalidInput(f"{BALANCES}, {result.row.reference}", result.outcome.message or "it was refused")

    async def _add_prices(self, path: Path, principal: Principal) -> None:
        there, problems = await self._batches.priced_types(), Problems()
        rows = [item for item in _price_rows(path, problems) if item[1] not in there]
        problems.ensure_none()
        if rows:
            # A start may have passed since all was checked.
            _note_left_out(await self._price_imports.compare(_price_list(rows)), rows, problems)
            problems.ensure_none()
            await self._price_imports.make(_price_list(rows), principal=principal)


class _ImportCheck:
    """One look at all files, ahead of any change; it keeps a few words of each row, to find what stands twice."""

    def __init__(
        self, batches: Batches, price_imports: PriceImports, files: dict[str, Path], principal: Principal
    ) -> None:
        self._batches = batches
        self._price_imports = price_imports
        self._files = files
        self._principal = principal
        self._problems = Problems()
        self._merchants: dict[int, tuple[str, str]] = {}
        """The currency and reference of each merchant of the files."""

        self._plan = Plan(_tag(files.values()), {name: FileCounts(shown=[]) for name in files}, {})

    async def run(self) -> Plan:
        if MERCHANTS in self._files:
            await self._check(MERCHANTS, read_merchant, self._check_merchants)
        if BALANCES in self._files:
            await self._check(
                BALANCES, read_balance, self._check_balances, key=("reference", lambda row: row.merchant_id)
            )
        if KEYS in self._files:
            await self._check(KEYS, read_key, self._check_keys, key=("sha256", lambda row: row.digest))
        if PRICES in self._files:
            await self._check_prices()
        self._problems.ensure_none()
        return self._plan

    async def _check(
        self,
        name: str,
        read: Callable[[Row, Problems], _Checked | None],
        check: Callable[[list[tuple[Row, _Checked]], FileCounts], Awaitable[None]],
        *,
        key: tuple[str, Callable[[_Checked], object]] | None = None,
    ) -> None:
        """Check a file row by row and in batches; `key` is the column that no two rows share, and how it is read."""
        seen: set[object] = set()

        def checked() -> Iterator[tuple[Row, _Checked]]:
            for row in read_rows(self._files[name], COLUMNS[name]):
                item = read(row, self._problems)
                if item is None:
                    continue
                if key is not None:
                    column, read_key_of = key
                    if (value := read_key_of(item)) in seen:
                        self._problems.add(row.place(column), _TWICE)
                        continue
                    seen.add(value)
                yield row, item

        try:
            for batch in _in_batches(checked()):
                await check(batch, self._plan.files[name])
        except InvalidInput as error:
            self._problems.add(error.field, error.message)

    async def _check_merchants(self, batch: list[tuple[Row, ImportedMerchant]], counts: FileCounts) -> None:
        known = await self._batches.currencies([item.merchant_id for _, item in batch])
        for row, item in batch:
            earlier = self._merchants.get(item.merchant_id)
            if earlier is not None:
                message = _TWICE if earlier[1] == item.reference else f"this comes to the same id as {earlier[1]!r}"
                self._problems.add(row.place("reference"), message)
                continue
            self._merchants[item.merchant_id] = item.currency, item.reference
            currency = known.get(item.merchant_id, item.currency)
            if currency != item.currency:
                self._problems.add(
                    row.place("currency"), f"the merchant is there, in {currency}, and a merchant's currency is fixed"
                )
            elif item.merchant_id in known:
                counts.there += 1
            else:
                counts.new += 1
                counts.show(item.reference, _merchant_words(item))

    async def _currencies(self, merchant_ids: Sequence[int]) -> dict[int, str]:
        """Tell the currency of each merchant that the files have, or that is there."""
        found = {number: self._merchants[number][0] for number in merchant_ids if number in self._merchants}
        missing = [number for number in merchant_ids if number not in found]
        return found | (await self._batches.currencies(missing) if missing else {})

    async def _check_balances(self, batch: list[tuple[Row, ImportedBalance]], counts: FileCounts) -> None:
        currencies = await self._currencies([item.merchant_id for _, item in batch])
        asked: list[tuple[Row, ImportedBalance]] = []
        for row, item in batch:
            currency = currencies.get(item.merchant_id)
            if currency is None:
                self._problems.add(row.place("reference"), _UNKNOWN)
            elif not fits_minor_unit(item.amount, currency):
                self._problems.add(row.place("balance"), too_fine(item.amount, currency))
            elif item.amount:
                asked.append((row, item))
        if asked:
            results = await self._batches.preview_balances([item for _, item in asked], self._principal)
            for (row, item), result in zip(asked, results, strict=True):
                if result.is_there:
                    counts.there += 1
                elif result.outcome.is_ok or result.is_of_nobody:
                    currency = currencies[item.merchant_id]
                    is_waiting = result.is_waiting or (
                        result.is_of_nobody and self._batches.is_above_limit(item.amount, currency)
                    )
                    counts.waiting += is_waiting
                    counts.new += not is_waiting
                    self._plan.sums[currency] = self._plan.sums.get(currency, 0) + item.amount
                    counts.show(item.reference, format_money_with_code(item.amount, currency))
                else:
                    self._problems.add(row.place("balance"), _refusal_words(result))

    async def _check_keys(self, batch: list[tuple[Row, ImportedKey]], counts: FileCounts) -> None:
        currencies = await self._currencies([item.merchant_id for _, item in batch])
        owners = await self._batches.owners([item for _, item in batch])
        for row, item in batch:
            if item.merchant_id not in currencies:
                self._problems.add(row.place("reference"), _UNKNOWN)
            elif owners.get(item.digest, item.merchant_id) != item.merchant_id:
                self._problems.add(row.place("sha256"), "another merchant has this key already")
            elif item.digest in owners:
                counts.there += 1
            else:
                counts.new += 1
                counts.show(item.reference, " ".join(filter(None, (item.hint, item.name))))

    async def _check_prices(self) -> None:
        problems, counts, new = Problems(), self._plan.files[PRICES], []
        try:
            rows = _price_rows(self._files[PRICES], problems)
            there = await self._batches.priced_types()
            new = [item for item in rows if item[1] not in there]
            counts.new, counts.there = len(new), len(rows) - len(new)
            if new and not problems:
                _note_left_out(await self._price_imports.compare(_price_list(new)), new, problems)
        except InvalidInput as error:
            problems.add(error.field, error.message)
        self._problems.take(problems)
        for row, request_type in new[:SHOWN_ROWS] if not problems else ():
            starts_at = row.cells["starts_at"]
            words = f"{row.cells['unit_price']} a request, {f'from {starts_at} on' if starts_at else 'new'}"
            counts.show(request_type, words)


_TWICE: Final = "this stands twice in the file; only one of the two can be meant"
_UNKNOWN: Final = "no merchant of this reference is in merchants.csv, and none was imported before"


def _refusal_words(result: BalanceResult) -> str:
    if result.outcome.code == Code.IDEMPOTENCY_CONFLICT:
        return (
            "this merchant's balance was brought over before, with another amount; take the line out, and correct the "
            "balance with farebox adjust"
        )
    return f"the ledger refuses it: {result.outcome.message}"


def _by_name(paths: Sequence[Path]) -> dict[str, Path]:
    """Take the files out of folders, and tell what each is by its name, in the order in which they are read."""
    found: dict[str, Path] = {}
    for path in paths:
        for file in sorted(path.glob("*.csv")) if path.is_dir() else [path]:
            if file.name not in COLUMNS:
                raise InvalidInput(
                    str(file), f"this is no file of an import; its name is one of {listed(list(COLUMNS))}"
                )
            if file.name in found:
                raise InvalidInput(str(file), f"there is another {file.name}; an import has one of each")
            found[file.name] = file
    if not found:
        raise InvalidInput("FILE", f"there is no file of an import here; name a folder with {listed(list(COLUMNS))}")
    return {name: found[name] for name in COLUMNS if name in found}


def _tag(paths: Iterable[Path]) -> str:
    """Make the tag of an import's merchants of its files' bytes: the same for the same files."""
    digest = blake2b(digest_size=_TAG_BYTES)
    for path in paths:
        with path.open("rb") as file:
            while data := file.read(_HASHED_BYTES):
                digest.update(data)
    return f"import-{digest.hexdigest()}"


def _good_rows(path: Path, read: Callable[[Row, Problems], _Checked | None]) -> Iterator[_Checked]:
    """Read the rows of a file once more that was found to be good."""
    problems = Problems()
    for row in read_rows(path, COLUMNS[path.name]):
        item = read(row, problems)
        problems.ensure_none()
        if item is not None:
            yield item


def _price_rows(path: Path, problems: Problems) -> list[tuple[Row, str]]:
    """Read the prices of a file, each with its type; two of a type that start at one time are a problem."""
    found, seen = [], set()
    for row in read_rows(path, COLUMNS[PRICES]):
        request_type = read_price(row, problems)
        if request_type is None:
            continue
        place = _price_place(row, request_type)
        if place in seen:
            problems.add(row.place("type"), _TWICE)
        seen.add(place)
        found.append((row, request_type))
    return found


def _price_place(row: Row, request_type: str) -> tuple[str, int | None]:
    """Tell whose price a good row has and when it starts; None for at once."""
    starts_at = row.cells["starts_at"]
    return request_type, inputs.time("starts_at", starts_at) if starts_at else None


def _price_list(rows: list[tuple[Row, str]]) -> ListImport:
    return ListImport(data=msgspec.json.encode(price_list_of(rows)))


def _note_left_out(comparison: Comparison, rows: list[tuple[Row, str]], problems: Problems) -> None:
    """Note the prices that an import of these rows would leave out."""
    by_place = {_price_place(row, request_type): row for row, request_type in rows}
    for difference in comparison.differences:
        problem, listed_as = difference.listed.problem, difference.listed
        if problem is not None:
            row = by_place[listed_as.request_type, listed_as.starts_at]
            problems.add(row.place("starts_at"), f"{problem.reason}: {problem.detail}")


_Item = TypeVar("_Item")


def _in_batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    left = iter(items)
    while batch := list(islice(left, BATCH_ROWS)):
        yield batch


def _merchant_words(row: ImportedMerchant) -> str:
    words = [row.name, row.currency]
    if row.thresholds:
        below = ", ".join(format_money_with_code(amount, row.currency) for amount in row.thresholds)
        words.append(f"warned below {below}")
    if row.email is not None:
        words.append(row.email)
    return ", ".join(words)


def _detail(plan: Plan) -> str:
    """Say in a line what is new: 3 merchants, 2 balances (1250.75 USD), 4 keys."""
    sums = ", ".join(format_money_with_code(amount, currency) for currency, amount in sorted(plan.sums.items()))
    words = []
    for name, counts in plan.files.items():
        if new := counts.new + counts.waiting:
            what = name.removesuffix(".csv") if new != 1 else name.removesuffix("s.csv")
            words.append(f"{new:,} {what}{f' ({sums})' if name == BALANCES else ''}")
    return ", ".join(words)
