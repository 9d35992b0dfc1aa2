"""What a statement is written in: one form of a transfer for the API, the command line and every export.

A verifiable export is JSON lines: a header, the transfers oldest first, a trailer that claims the balance they come to.
Before the first transfer that was priced by a rule stands that rule, so that the export explains each amount by itself.
A CSV has the columns of a transfer. docs/how-to/verify-a-statement.md documents each field.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from farebox.core import chain, ids
from farebox.core.accounts import DEBIT_AND_CREDIT, EFFECTS, KIND_WORDS, Kind
from farebox.core.credit.grants import read_given
from farebox.core.money import format_amount
from farebox.core.prices import Price
from farebox.core.pricing.rules import QUANTITY_MAX, Rule
from farebox.core.transfers import Transfer
from farebox.service import inputs
from farebox.service.csv_files import csv_lines, defused
from farebox.service.price_texts import write_rule

FORMAT: Final = "farebox-statement"
VERSION: Final = 1

_MICROS_PER_SECOND: Final = 1_000_000

KINDS: Final = tuple(dict.fromkeys(KIND_WORDS.values()))
"""Every kind as the API writes it, each once."""

_ACCOUNTS: Final = ("wallet", "held", "revenue", "funding", "adjustments", "promotions")
_OF_KINDS: Final[dict[int, tuple[str, str, str, int, int]]] = {
    kind: (KIND_WORDS[kind], *DEBIT_AND_CREDIT[kind], EFFECTS[kind].wallet, EFFECTS[kind].held) for kind in Kind
}
"""Of each kind its name, the accounts that it debits and credits, and its signs in the wallet and in what is held."""

_Seq = Annotated[int, Meta(ge=1, le=ids.SEQ_MAX)]
_Quantity = Annotated[int, Meta(ge=1, le=QUANTITY_MAX)]
_Balance = Annotated[str, Meta(description="A plain decimal, at most six decimals.", examples=["87.50"])]
_MerchantId = Annotated[str, Meta(examples=["mer_01K9ABCDEFGHJ"])]
_Currency = Annotated[str, Meta(examples=["USD"])]
_Account = Annotated[str, Meta(extra_json_schema={"enum": list(_ACCOUNTS)}, examples=["wallet"])]


class TransferData(Struct, rename="camel", frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A transfer: all that explains it, and all that its hash covers."""

    transfer_id: Annotated[str, Meta(description="The transfer's id.", examples=["xfer_01K9ABCDEFGHJ00000002"])]
    seq: Annotated[_Seq, Meta(description="Its number in the merchant's book, from 1, without gaps.", examples=[2])]
    committed_at: Annotated[
        str,
        Meta(
            description="RFC 3339, UTC; never earlier than the transfer before.",
            examples=["2026-01-31T12:00:00.000000Z"],
        ),
    ]
    kind: Annotated[str, Meta(description="What it is.", extra_json_schema={"enum": list(KINDS)}, examples=["charge"])]
    debit: Annotated[_Account, Meta(description="The account that it takes from.")]
    credit: Annotated[_Account, Meta(description="The account that it gives to.", examples=["revenue"])]
    amount: Annotated[str, Meta(description="A plain decimal; 0.00 for a request that is free.", examples=["12.50"])]
    available_before: Annotated[_Balance, Meta(description="The available balance before it.", examples=["100.00"])]
    available_after: Annotated[_Balance, Meta(description="The available balance after it.")]
    held_before: Annotated[_Balance, Meta(description="What holds had set aside before it.", examples=["0.00"])]
    held_after: Annotated[_Balance, Meta(description="What holds had set aside after it.", examples=["0.00"])]
    type: Annotated[str | None, Meta(description="The request type, if it is of one.", examples=["image"])]
    quantity: Annotated[_Quantity | None, Meta(description="How many requests.", examples=[5])]
    unit_price: Annotated[str | None, Meta(description="Null if the caller named the amount.", examples=["2.50"])]
    price_id: Annotated[
        str | None, Meta(description="The version of the price that applied.", examples=["price_01K9ABCDEFGHJ"])
    ]
    reference: Annotated[str | None, Meta(description="The payment's or document's own.", examples=["INV-2026-001"])]
    note: Annotated[str | None, Meta(description="A remark or reason.", examples=["wire of 2 May"])]
    refers_to: Annotated[
        str | None,
        Meta(
            description="The transfer that it corrects or continues: a refund's charge, a capture's hold.",
            examples=["xfer_01K9ABCDEFGHJ00000001"],
        ),
    ]
    idempotency_key: Annotated[
        str,
        Meta(description="The caller's, or made of the reference.", examples=["01922f6e-7c3a-7c52-9d3e-4b1f6a0c2d11"]),
    ]
    fingerprint: Annotated[
        str, Meta(description="By which a retry is told from a conflict; hexadecimal.", examples=["00ff10a2b3c4d5e6"])
    ]
    hash: Annotated[
        str,
        Meta(
            description="BLAKE2b-256 over the hash of the transfer before and this one's canonical bytes; hexadecimal.",
            examples=["e91dfd77193355bbca08321c306dd520c60ec055eee6ea0213a2ae6393f5e948"],
        ),
    ]
    pricing: Annotated[
        str | None,
        Meta(
            description="What the amount was priced by, where the price is a rule: the quantities, by its lines, "
            "and the tier, window and counts that applied.",
            examples=["input=1200,output=350;tier=1"],
        ),
    ] = None
    given: Annotated[
        str | None,
        Meta(
            description="What of the amount was given credit: each grant's number and micros, in the order of "
            "spending. Of a grant itself, its terms.",
            examples=["12:500000,15:2000000"],
        ),
    ] = None
    uncollected: Annotated[
        str | None, Meta(description="What was due beyond the amount and was not there to be taken.", examples=["0.75"])
    ] = None
    key_id: Annotated[
        str | None, Meta(description="The merchant's API key that the request named.", examples=["key_01K9ABCDEFGHJ"])
    ] = None


class HeaderData(Struct, rename="camel", frozen=True, forbid_unknown_fields=True):
    """The first line of a verifiable export: whose it is, and where the book stood before its first transfer."""

    format: str
    version: int
    merchant_id: _MerchantId
    name: str
    currency: _Currency
    first_seq: _Seq
    previous_hash: str
    available: _Balance
    held: _Balance


class PriceLineData(Struct, rename="camel", frozen=True, forbid_unknown_fields=True):
    """A line of a verifiable export before the first transfer that was priced by this rule."""

    price_id: str
    type: str
    starts_at: str
    merchant_id: _MerchantId | None
    rule: dict[str, Any]


class TrailerData(Struct, rename="camel", frozen=True, forbid_unknown_fields=True):
    """The last line of a verifiable export: what it claims that its transfers come to."""

    count: Annotated[int, Meta(ge=0, le=ids.SEQ_MAX)]
    last_seq: Annotated[int, Meta(ge=0, le=ids.SEQ_MAX)]
    last_hash: str
    merchant_id: _MerchantId
    currency: _Currency
    available: _Balance
    held: _Balance


# A balance before a transfer is the one after the transfer before it, and few prices make many amounts.
_amount: Final = lru_cache(maxsize=1_024)(format_amount)


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    """Write a time but for its fraction; transfers that follow one another are often of one second."""
    return inputs.format_time(seconds * _MICROS_PER_SECOND).partition(".")[0]


def transfer_data(transfer: Transfer) -> TransferData:
    """Write a transfer as it stands in JSON."""
    return TransferData(*_fields(transfer))


def _fields(transfer: Transfer) -> tuple[Any, ...]:
    """Write a transfer's fields, in the order of `TransferData`: to name them takes a microsecond more."""
    merchant_id, seq, amount, wallet_after = transfer.merchant_id, transfer.seq, transfer.amount, transfer.wallet_after
    unit_price, price_id, refers_to = transfer.unit_price, transfer.price_id, transfer.refers_to
    uncollected, key_id = transfer.uncollected, transfer.key_id
    seconds, fraction = divmod(transfer.committed_at, _MICROS_PER_SECOND)
    word, debit, credit, wallet_sign, held_sign = _OF_KINDS[transfer.kind]
    held_after = _amount(transfer.held_after)
    return (
        ids.book_id(ids.TRANSFER, merchant_id=merchant_id, seq=seq),
        seq,
        f"{_second(seconds)}.{str(_MICROS_PER_SECOND + fraction)[1:]}Z",
        word,
        debit,
        credit,
        _amount(amount),
        _amount(wallet_after - wallet_sign * amount),
        _amount(wallet_after),
        _amount(transfer.held_after - held_sign * amount) if held_sign else held_after,
        held_after,
        transfer.request_type,
        transfer.quantity,
        None if unit_price is None else _amount(unit_price),
        None if price_id is None else chain.price_text(price_id),
        transfer.reference,
        transfer.note,
        None if refers_to is None else ids.book_id(ids.TRANSFER, merchant_id=merchant_id, seq=refers_to),
        transfer.idempotency_key,
        transfer.fingerprint.hex(),
        transfer.hash.hex(),
        transfer.pricing,
        transfer.given,
        None if uncollected is None else _amount(uncollected),
        None if key_id is None else ids.public_id(ids.KEY, key_id),
    )


def price_line_data(price: Price, rule: Rule) -> PriceLineData:
    """Write a version of a price, and the rule that it is, as the line of an export."""
    return PriceLineData(
        price_id=chain.price_text(price.price_id),
        type=price.request_type,
        starts_at=inputs.format_time(price.starts_at),
        merchant_id=None if price.merchant_id is None else ids.public_id(ids.MERCHANT, price.merchant_id),
        rule=write_rule(rule),
    )


CSV_COLUMNS: Final = (*TransferData.__struct_encode_fields__, "givenAmount")
"""The names of a transfer's fields as they stand in JSON, in the same order, and what of it was given credit in all."""

_CSV_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:][A-Za-z0-9_.: -]*", re.ASCII)
"""Texts that stand in a cell as they are, as nearly all do."""


def csv_header() -> bytes:
    """Write a CSV's first line, the names of the columns."""
    return csv_lines([CSV_COLUMNS])


def csv_rows(transfers: Sequence[Transfer]) -> bytes:
    """Write transfers as lines of CSV (RFC 4180) in UTF-8; what is absent is an empty cell."""
    return "".join([_csv_line(transfer) for transfer in transfers]).encode()


def _csv_line(transfer: Transfer) -> str:
    """Write a line as `csv.writer` would, in a third of the time: only texts can have what needs quotes."""
    (
        transfer_id,
        seq,
        committed_at,
        kind,
        debit,
        credit,
        amount,
        available_before,
        available_after,
        held_before,
        held_after,
        request_type,
        quantity,
        unit_price,
        price_id,
        reference,
        note,
        refers_to,
        idempotency_key,
        fingerprint,
        own_hash,
        pricing,
        given,
        uncollected,
        key_id,
    ) = _fields(transfer)
    given_amount = sum(amount for _, amount in read_given(given)) if given else 0
    return (
        f"{transfer_id},{seq},{committed_at},{kind},{debit},{credit},{amount},{available_before},{available_after},"
        f"{held_before},{held_after},{_csv_type(request_type)},{'' if quantity is None else quantity},"
        f"{unit_price or ''},{price_id or ''},{_csv_text(reference) if reference else ''},"
        f"{_csv_text(note) if note else ''},{refers_to or ''},{_csv_text(idempotency_key)},{fingerprint},{own_hash},"
        f"{_csv_cell(pricing) if pricing else ''},{_csv_cell(given) if given else ''},{uncollected or ''},"
        f"{key_id or ''},{format_amount(given_amount) if given_amount else ''}\r\n"
    )


def _csv_text(text: str | None) -> str:
    """Write a text that people wrote as a cell."""
    if text is None or _CSV_PLAIN.fullmatch(text):
        return text or ""
    return _csv_cell(defused(text))


_csv_type: Final = lru_cache(maxsize=1_024)(_csv_text)
"""Few types stand in many lines."""


def _csv_cell(text: str | None) -> str:
    """Write a text as a cell, in quotes if it has to stand in them."""
    return csv_lines([(text,)]).decode().removesuffix("\r\n") if text else ""
