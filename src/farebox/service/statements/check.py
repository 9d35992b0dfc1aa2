"""Verifying an exported statement offline: nothing in it was changed, dropped, repeated or reordered, and it adds up.

Every line must be what Farebox itself would write of what the line says; each hash must follow from the hash before and
the transfer's canonical bytes; each balance from the balance before and the amount; each amount from its price, be it a
unit price or a rule that stands in the export; what it took of given credit from the grants before it; and all must end
at the balance that the last line claims. Memory stays flat, however long the export: no more is kept than prices,
counts of periods, open holds, grants and a bounded number of charges that took from them.
"""

import re
from collections.abc import Callable, Iterator
from typing import IO, Final, TypeVar

import msgspec
from msgspec import Struct

from farebox.core import chain, ids
from farebox.core.accounts import DEBIT_AND_CREDIT, EFFECTS, GENESIS_HASH, KIND_WORDS, Kind
from farebox.core.currencies import is_code
from farebox.core.money import MICROS_PER_UNIT, format_amount
from farebox.core.transfers import Transfer
from farebox.service import inputs, parsing
from farebox.service.errors import InvalidInput
from farebox.service.statements.grant_check import GrantCheck
from farebox.service.statements.lines import (
    FORMAT,
    VERSION,
    HeaderData,
    PriceLineData,
    TrailerData,
    TransferData,
    transfer_data,
)
from farebox.service.statements.price_check import PriceCheck

FAULTS_MAX: Final = 100
"""How many faults of one export are told; all are counted."""

LINE_BYTES_MAX: Final = 64 * 1024
"""No line of an export is near as long, but for prices; what is beyond is not even looked at."""

PRICE_BYTES_MAX: Final = 16 * 1024 * 1024
"""No price is as long: one with as many windows, tiers, lines and steps as there may be has some 12 MB."""

_Line = TypeVar("_Line")
_Value = TypeVar("_Value")

_TRAILER_START: Final = b'{"count":'
_PRICE_START: Final = b'{"priceId":'
_AMOUNT: Final = re.compile(r"(-?)([0-9]{1,13})\.([0-9]{2,6})", re.ASCII)
_FRACTION_DIGITS: Final = 6
_SHOWN_CHARS_MAX: Final = 80
_PLAIN_CHARS_MAX: Final = 200
_KINDS: Final = {(KIND_WORDS[kind], *DEBIT_AND_CREDIT[kind]): int(kind) for kind in Kind}
_NAMES: Final = dict(zip(TransferData.__struct_fields__, TransferData.__struct_encode_fields__, strict=True))


class ExportFault(Struct, frozen=True):
    """Something wrong in an export: the number of the line, from 1, and the seq where the book stands there."""

    line: int
    seq: int | None
    text: str


class Ending(Struct, frozen=True):
    """Where an export ended, which is where the next one has to start. Amounts are micros."""

    merchant_id: int
    currency: str
    seq: int
    hash: bytes
    available: int
    held: int


class Report(Struct, frozen=True):
    """The result of a check: the first FAULTS_MAX faults, how many there are, and what the export comes to.

    `first_seq` and `ending` are None if the first line is not that of a statement; nothing else is then looked at.
    """

    faults: list[ExportFault]
    faults_count: int
    transfers_count: int
    first_seq: int | None
    ending: Ending | None


class _BadLineError(Exception):
    """A line can't be read; the message says why."""


def check_statement(
    stream: IO[bytes],
    *,
    after: Ending | None = None,
    prices: PriceCheck | None = None,
    grants: GrantCheck | None = None,
) -> Report:
    """Check an export, JSON lines in UTF-8, from its first byte to its last.

    Args:
        stream: the export.
        after: where the export before it ended, if this one has to continue it.
        prices: what the exports before it had of prices and counts, if this one continues them.
        grants: what they had of given credit.

    Raises:
        OSError: the stream can't be read.
    """
    check = _Check(after, PriceCheck() if prices is None else prices, GrantCheck() if grants is None else grants)
    faults: list[ExportFault] = []
    count = number = 0
    for number, line in enumerate(_lines(stream), 1):
        for seq, text in check.feed(line):
            count += 1
            if count <= FAULTS_MAX:
                faults.append(ExportFault(number, seq, text))
        if check.is_over:
            break
    for seq, text in check.finish():
        count += 1
        if count <= FAULTS_MAX:
            faults.append(ExportFault(max(number, 1), seq, text))
    return Report(faults, count, check.transfers_count, check.first_seq, check.ending)


_Finding = tuple[int | None, str]


class _Check:
    """One pass over an export: is fed every line, then finished; yields each fault's seq and text where it stands."""

    def __init__(self, after: Ending | None, prices: PriceCheck, grants: GrantCheck) -> None:
        self._after = after
        self._prices = prices
        self._grants = grants
        self._merchant = ""
        self._merchant_id = 0
        self._currency = ""
        self._seq = 0
        self._hash = GENESIS_HASH
        self._available = 0
        self._held = 0
        self._at: int | None = None
        self._is_lost = False
        self._has_trailer = False
        self.transfers_count = 0
        self.first_seq: int | None = None
        self.is_over = False
        """Nothing that comes now would be looked at."""

    @property
    def ending(self) -> Ending | None:
        """Where the export ended, by its last transfer; None if it has not even begun."""
        if self.first_seq is None:
            return None
        return Ending(self._merchant_id, self._currency, self._seq, self._hash, self._available, self._held)

    def feed(self, line: bytes) -> Iterator[_Finding]:
        """Check the next line, without its line break."""
        if self.first_seq is None:
            yield from self._feed_header(line)
        elif self._has_trailer:
            self.is_over = True
            yield self._seq, "something stands after the trailer, which must be the last line"
        elif line.startswith(_TRAILER_START):
            self._has_trailer = True
            yield from self._feed_trailer(line)
        elif line.startswith(_PRICE_START):
            yield from self._feed_price(line)
        else:
            yield from self._feed_transfer(line)

    def finish(self) -> Iterator[_Finding]:
        """Check that the export was whole."""
        if self.first_seq is None and not self.is_over:
            yield None, "this is empty; a statement has at least a header and a trailer"
        elif self.first_seq is not None and not self._has_trailer:
            yield self._seq, "the trailer is missing: the statement was cut off after this line"

    def _feed_header(self, line: bytes) -> Iterator[_Finding]:
        try:
            header = _decoded(line, _HEADER)
            if header.format != FORMAT or header.version != VERSION:
                raise _BadLineError(f"its format is not {FORMAT}, version {VERSION}")
            self._merchant_id = _field(header.merchant_id, "merchantId", _merchant_number)
            self._hash = _field(header.previous_hash, "previousHash", bytes.fromhex)
            self._available = _field(header.available, "available", _micros)
            self._held = _field(header.held, "held", _micros)
        except _BadLineError as error:
            self.is_over = True
            yield None, f"this is not the first line of a statement in JSON lines: {error}"
            return
        self._merchant, self._currency = header.merchant_id, header.currency
        self.first_seq, self._seq = header.first_seq, header.first_seq - 1
        self._prices.begin(header.first_seq)
        self._grants.begin(header.first_seq)
        for fault in self._header_faults(line, header):
            yield header.first_seq, fault

    def _header_faults(self, line: bytes, header: HeaderData) -> Iterator[str]:
        # The code may have been withdrawn since: a statement verifies for ever, so its form alone is checked.
        if not is_code(header.currency):
            yield f"currency: {_shown(header.currency)} is no currency's code: those are three capitals, such as USD"
        state = (self._hash, self._available, self._held)
        written = (self._hash.hex(), format_amount(self._available), format_amount(self._held))
        if written != (header.previous_hash, header.available, header.held) or msgspec.json.encode(header) != line:
            yield _OTHERWISE
        if len(self._hash) != chain.HASH_BYTES:
            yield f"previousHash must have {chain.HASH_BYTES} bytes"
        elif header.first_seq == 1 and state != (GENESIS_HASH, 0, 0):
            yield "a book starts with nothing available or held, after a hash of zeros; this header says otherwise"
        after = self._after
        if after is None:
            return
        if header.merchant_id != ids.public_id(ids.MERCHANT, after.merchant_id):
            yield f"this is of another merchant than the statement before: {header.merchant_id}"
        elif header.currency != after.currency:
            yield f"this is in {_plain(header.currency)}, the statement before in {after.currency}"
        elif header.first_seq != after.seq + 1:
            yield f"this starts with seq {header.first_seq}, but the statement before ended with seq {after.seq}"
        elif state != (after.hash, after.available, after.held):
            yield "this starts from another hash or balance than the statement before ended with"

    def _feed_price(self, line: bytes) -> Iterator[_Finding]:
        try:
            data = _decoded(line, _PRICE, PRICE_BYTES_MAX)
        except _BadLineError as error:
            yield self._seq + 1, f"this can't be read as a price: {error}"
            return
        for fault in self._prices.add(data, line, self._merchant):
            yield self._seq + 1, _plain(fault)

    def _feed_transfer(self, line: bytes) -> Iterator[_Finding]:
        expected_seq = self._seq + 1
        self.transfers_count += 1
        try:
            data = _decoded(line, _TRANSFER)
            transfer = _transfer_of(data, self._merchant_id)
        except _BadLineError as error:
            # Nothing that follows can be held against a line that is not known, and this one has been named.
            self._seq, self._is_lost = expected_seq, True
            self._prices.forget()
            self._grants.forget(expected_seq + 1)
            yield expected_seq, f"this is neither a transfer nor the trailer: {error}"
            return
        for fault in self._transfer_faults(line, data, transfer, expected_seq):
            yield transfer.seq, fault
        # Go on from what is written, so that one fault is not told again for every later transfer.
        self._seq, self._hash, self._at = transfer.seq, transfer.hash, transfer.committed_at
        self._available, self._held = transfer.wallet_after, transfer.held_after
        self._is_lost = False

    def _transfer_faults(self, line: bytes, data: TransferData, transfer: Transfer, expected_seq: int) -> Iterator[str]:
        yield from _writing_faults(line, data, transfer)
        is_explained = transfer.pricing is not None or transfer.uncollected is not None
        may_be_free = is_explained or transfer.kind in (Kind.RELEASE, Kind.EXPIRE)
        if transfer.amount < 0 or (transfer.amount == 0 and not may_be_free):
            yield "the amount is not more than zero"
        if transfer.uncollected is not None and transfer.uncollected < 0:
            yield "less than nothing is uncollected"
        if transfer.unit_price is not None and transfer.due != transfer.unit_price * (transfer.quantity or 0):
            yield "the amount is not unit price x quantity"
        if self._at is not None and transfer.committed_at < self._at:
            yield "this is earlier than the transfer before it"
        if transfer.refers_to is not None and not 0 < transfer.refers_to < transfer.seq:
            yield "this refers to no earlier transfer"
        if transfer.seq != expected_seq:
            # Hash and balances then differ as well, for that same reason.
            self._prices.forget()
            self._grants.forget(transfer.seq + 1)
            yield f"seq {expected_seq} was to come here; transfers are missing, repeated or swapped"
            return
        yield from self._prices.faults(transfer)
        yield from self._grants.faults(transfer)
        if self._is_lost:
            return
        if transfer.hash != chain.link(self._hash, chain.canonical_bytes(self._merchant, transfer)):
            yield "the hash does not follow from what this line says and the hash before it; one of them was changed"
        effect = EFFECTS[Kind(transfer.kind)]
        for name, before, sign, after in (
            ("available", self._available, effect.wallet, transfer.wallet_after),
            ("held", self._held, effect.held, transfer.held_after),
        ):
            if before + sign * transfer.amount != after:
                yield (
                    f"{name} after it is given as {format_amount(after)}, "
                    f"but comes to {format_amount(before + sign * transfer.amount)}"
                )

    def _feed_trailer(self, line: bytes) -> Iterator[_Finding]:
        try:
            trailer = _decoded(line, _TRAILER)
        except _BadLineError as error:
            yield self._seq, f"this can't be read as the trailer: {error}"
            return
        claims: list[tuple[str, str | int, str | int]] = [
            ("count", trailer.count, self.transfers_count),
            ("lastSeq", trailer.last_seq, self._seq),
            ("merchantId", trailer.merchant_id, self._merchant),
            ("currency", trailer.currency, _plain(self._currency)),
        ]
        if not self._is_lost:
            claims += [
                ("lastHash", trailer.last_hash, self._hash.hex()),
                ("available", trailer.available, format_amount(self._available)),
                ("held", trailer.held, format_amount(self._held)),
            ]
        for name, claimed, actual in claims:
            if claimed != actual:
                yield self._seq, f"the trailer claims {name} {_shown(claimed)}, but the statement has {actual}"
        for fault in self._grants.finish():
            yield self._seq, fault
        if msgspec.json.encode(trailer) != line:
            yield self._seq, _OTHERWISE


_HEADER: Final = msgspec.json.Decoder(HeaderData)
_PRICE: Final = msgspec.json.Decoder(PriceLineData)
_TRANSFER: Final = msgspec.json.Decoder(TransferData)
_TRAILER: Final = msgspec.json.Decoder(TrailerData)
_OTHERWISE: Final = "this is not written as Farebox writes it: spaces, the order of fields or line ends were changed"


def _writing_faults(line: bytes, data: TransferData, transfer: Transfer) -> Iterator[str]:
    """Compare a line with what Farebox would write of the transfer that the line describes."""
    written = transfer_data(transfer)
    wrong = [name for name in _NAMES if getattr(data, name) != getattr(written, name)]
    for name in wrong:
        given, right = getattr(data, name), getattr(written, name)
        yield f"{_NAMES[name]} is given as {_shown(given)}, but follows to be {_shown(right)} from the rest of the line"
    if not wrong and msgspec.json.encode(data) != line:
        yield _OTHERWISE
    # The hash reads nothing in what is empty and in what is absent alike, so no field may be empty.
    references = (transfer.price_id, transfer.refers_to, transfer.key_id)
    numbers = (transfer.quantity, transfer.unit_price, transfer.uncollected, *references)
    if "" in (data.type, data.reference, data.note, data.idempotency_key, data.given) or 0 in numbers:
        yield "a field is empty that should be absent"


def _transfer_of(data: TransferData, merchant_id: int) -> Transfer:
    """Read a transfer back out of its line; what follows from the rest is not read.

    Raises:
        _BadLineError: a field has no meaning.
    """
    kind = _KINDS.get((data.kind, data.debit, data.credit))
    if kind is None:
        move = f"{_shown(data.kind)} from {_shown(data.debit)} to {_shown(data.credit)}"
        raise _BadLineError(f"there is no {move}")
    return Transfer(
        merchant_id=merchant_id,
        seq=data.seq,
        kind=kind,
        amount=_field(data.amount, "amount", _micros),
        idempotency_key=data.idempotency_key,
        fingerprint=_field(data.fingerprint, "fingerprint", bytes.fromhex),
        wallet_after=_field(data.available_after, "availableAfter", _micros),
        held_after=_field(data.held_after, "heldAfter", _micros),
        committed_at=_field(data.committed_at, "committedAt", _time),
        hash=_field(data.hash, "hash", bytes.fromhex),
        request_type=data.type,
        quantity=data.quantity,
        unit_price=None if data.unit_price is None else _field(data.unit_price, "unitPrice", _micros),
        price_id=None if data.price_id is None else _field(data.price_id, "priceId", _price_number),
        refers_to=None if data.refers_to is None else _field(data.refers_to, "refersTo", _transfer_seq),
        reference=data.reference,
        note=data.note,
        pricing=data.pricing,
        given=data.given,
        uncollected=None if data.uncollected is None else _field(data.uncollected, "uncollected", _micros),
        key_id=None if data.key_id is None else _field(data.key_id, "keyId", _key_number),
    )


def _decoded(line: bytes, decoder: "msgspec.json.Decoder[_Line]", bytes_max: int = LINE_BYTES_MAX) -> _Line:
    if len(line) > bytes_max:
        raise _BadLineError("it is longer than any line of a statement")
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        # It may quote the line.
        raise _BadLineError(_plain(str(error))) from error


def _field(text: str, name: str, read: Callable[[str], _Value]) -> _Value:
    """Read a field's text, or say which field it is that has no meaning."""
    try:
        return read(text)
    except (ValueError, InvalidInput) as error:
        raise _BadLineError(f"{name} can't be {_shown(text)}") from error


def _micros(text: str) -> int:
    """Read an amount or balance as exports write it, with its sign, in micros."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    sign, units, fraction = match.groups()
    micros = int(units) * MICROS_PER_UNIT + int(fraction.ljust(_FRACTION_DIGITS, "0"))
    return -micros if sign else micros


def _time(text: str) -> int:
    return inputs.time("committedAt", text)


def _merchant_number(text: str) -> int:
    return parsing.parse_public_id(ids.MERCHANT, text)


def _price_number(text: str) -> int:
    return parsing.parse_public_id(ids.PRICE, text)


def _key_number(text: str) -> int:
    return parsing.parse_public_id(ids.KEY, text)


def _transfer_seq(text: str) -> int:
    """Read the seq out of a transfer's id; one of another book is found when the id is written again."""
    return parsing.parse_book_id(ids.TRANSFER, text)[1]


def _shown(value: object) -> str:
    """Write what a line says, at a length that fits a message and without control characters."""
    return _short(repr(value), _SHOWN_CHARS_MAX)


def _plain(text: str) -> str:
    """Write a text as `_shown` does, without quotes around it."""
    return _short(text if text.isprintable() else repr(text)[1:-1], _PLAIN_CHARS_MAX)


def _short(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else text[:chars_max] + "…"


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Cut a stream into lines, without their line breaks; what is too long for one is cut off beyond the limit."""
    while line := stream.readline(LINE_BYTES_MAX + 2):
        if line.startswith(_PRICE_START) and not line.endswith(b"\n"):
            line += stream.readline(PRICE_BYTES_MAX)
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(LINE_BYTES_MAX)):
            pass
        yield line.removesuffix(b"\n")
