"""What Lago exports: customers, and what their wallets hold, each an answer of its API.

A customer is a merchant, and its wallets together are its balance. Read of Lago 1.51: the answers of
`/api/v1/customers` and `/api/v1/wallets`.
"""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal, localcontext
from typing import Final

from farebox.core.currencies import decimals_of
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.importing.exported import (
    DIGITS_MAX,
    Converted,
    Entry,
    ensure_whole,
    entries,
    in_minor_units,
    one_line,
)
from farebox.service.importing.rows import BALANCES, MERCHANTS

_CREDITS_STEP: Final = Decimal("0.0001")
"""Lago rounds credits to five decimals, so that what they are worth differs by that from the balance."""

_CLOSED: Final = "wallets that are terminated: left out"
_OWED: Final = "customers who used more than their wallets hold: they begin with nothing here, and owe the rest"
_NO_WALLET: Final = "customers without a wallet: they begin with nothing here"
_ENDS: Final = "wallets whose credits expire: they are brought over as money that does not"
_REFILLED: Final = "wallets that are topped up by a rule: nothing tops them up here"
_NO_CURRENCY: Final = "customers without a currency and a wallet: left out"


def read_lago(files: Mapping[str, object]) -> Converted:
    """Read answers of Lago's API, given as plain values by the names of their files.

    Raises:
        InvalidInput: a file is none of them, or some are missing.
    """
    customers, wallets = _read(files)
    remarks: Counter[str] = Counter()
    held: dict[str, dict[str, Decimal]] = {}
    for wallet in wallets.values():
        if wallet.text("status") != "active":
            remarks[_CLOSED] += 1
            continue
        owner = wallet.required("external_customer_id")
        if owner not in customers:
            raise InvalidInput(
                f"{wallet.path}.external_customer_id", f"{owner[:40]!r} is in none of the files; add /api/v1/customers"
            )
        currency = wallet.required("currency")
        sums = held.setdefault(owner, {})
        sums[currency] = sums.get(currency, Decimal(0)) + _ongoing(wallet)
        remarks[_ENDS] += bool(wallet.text("expiration_at"))
        remarks[_REFILLED] += bool(wallet.values.get("recurring_transaction_rules"))
    merchants, balances = [], []
    for external_id, customer in customers.items():
        sums = held.get(external_id, {})
        if len(sums) > 1:
            raise InvalidInput(
                f"{customer.path}.external_id",
                f"{external_id[:40]!r} has wallets in {' and '.join(sorted(sums))}, and a merchant has one currency; "
                "leave one of them out of the file, and make a merchant for it by hand",
            )
        currency = next(iter(sums), customer.text("currency"))
        if not currency:
            remarks[_NO_CURRENCY] += 1
            continue
        reference = f"lago:{external_id}"
        name = one_line(customer.text("name"), inputs.NAME_CHARS_MAX, f"Lago customer {external_id[:40]}")
        email = customer.text("email").split(",")[0].strip()
        merchants.append({"reference": reference, "name": name, "currency": currency, "email": email})
        minor = sums.get(currency, Decimal(0))
        remarks[_NO_WALLET] += not sums
        remarks[_OWED] += minor < 0
        amount = in_minor_units(max(minor, Decimal(0)).scaleb(-decimals_of(currency)), currency)
        balances.append({"reference": reference, "balance": amount})
    return Converted({MERCHANTS: merchants, BALANCES: balances}, +remarks)


def _ongoing(wallet: Entry) -> Decimal:
    """Read what a wallet holds, in the currency's smallest units, once the usage that is not invoiced yet is paid."""
    ongoing = wallet.number("ongoing_balance_cents")
    if ongoing is None:
        raise InvalidInput(
            f"{wallet.path}.ongoing_balance_cents",
            "this is missing; without it nobody knows what usage is still to be paid out of balance_cents",
        )
    credits_left, rate = wallet.number("credits_ongoing_balance"), wallet.number("rate_amount")
    if credits_left is not None and rate is not None:
        unit = 10 ** decimals_of(wallet.required("currency"))
        with localcontext(prec=4 * DIGITS_MAX):
            worth = credits_left * rate * unit
            if abs(worth - ongoing) > 1 + rate * unit * _CREDITS_STEP:
                raise InvalidInput(
                    f"{wallet.path}.ongoing_balance_cents",
                    f"this is {ongoing}, and credits_ongoing_balance at rate_amount comes to {worth.normalize():f}; "
                    "only one of the two can be right",
                )
    return ongoing


def _read(files: Mapping[str, object]) -> tuple[dict[str, Entry], dict[str, Entry]]:
    customers: dict[str, Entry] = {}
    wallets: dict[str, Entry] = {}
    totals: dict[str, list[Decimal | None]] = {"customers": [], "wallets": []}
    for name, value in files.items():
        whole = Entry.of(name, value).values
        meta = Entry(f"{name}.meta", {}) if whole.get("meta") is None else Entry.of(f"{name}.meta", whole["meta"])
        if "customers" in whole:
            listed = entries(f"{name}.customers", whole["customers"])
            customers.update((entry.required("external_id"), entry) for entry in listed)
            totals["customers"].append(meta.number("total_count"))
        elif "wallets" in whole:
            listed = entries(f"{name}.wallets", whole["wallets"])
            wallets.update((entry.required("lago_id"), entry) for entry in listed)
            totals["wallets"].append(meta.number("total_count"))
        else:
            raise InvalidInput(name, "this is no answer of /api/v1/customers or /api/v1/wallets of Lago")
    ensure_whole("customers", len(customers), totals["customers"])
    ensure_whole("wallets", len(wallets), totals["wallets"])
    return customers, wallets
