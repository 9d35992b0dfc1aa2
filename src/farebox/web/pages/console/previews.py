"""Previews of moves of money: what the ledger would make of one, in words."""

from typing import Final

from msgspec.structs import replace

from farebox.core.accounts import EFFECTS, Account, Kind
from farebox.core.credit.shortfalls import paid_part
from farebox.core.currencies import format_money, format_money_with_code
from farebox.core.outcomes import Outcome
from farebox.web.pages.preview import Preview, facts_of

MINUS: Final = "\N{MINUS SIGN}"
NEEDS_APPROVAL: Final = "So much needs a second person: it waits under Approvals until somebody else approves it."


def change_of(outcome: Outcome) -> int:
    """Tell what a move by hand adds to the available balance, in micros; below zero if it takes away.

    Of one that waits for approval, what it will add.
    """
    if outcome.transfer is not None:
        return EFFECTS[Kind(outcome.transfer.kind)].wallet * outcome.transfer.amount
    return 0 if outcome.approval is None else outcome.approval.signed_amount


def signed(change: int, currency: str) -> str:
    """Write a change of a balance with its sign."""
    return f"{'+' if change > 0 else MINUS}{format_money(abs(change), currency)}"


def balance_fact(account: Account, change: int) -> tuple[str, str]:
    """Tell the available balance before and after."""
    after = account.available + change
    return (
        "Balance",
        f"{format_money(account.available, account.currency)} → {format_money_with_code(after, account.currency)}",
    )


def pays_owed(account: Account, outcome: Outcome) -> int:
    """Tell how much of what a merchant owes a move by hand pays, in micros."""
    if outcome.transfer is not None:
        return min(account.owed, paid_part(outcome.transfer))
    return min(account.owed, max(0, change_of(outcome)))


def owed_fact(account: Account, paid: int) -> tuple[str, str | None]:
    """Tell how much of what is owed is paid by a move, and whether that is all."""
    rest = account.owed - paid
    left = f"; {format_money_with_code(rest, account.currency)} stays owed" if rest else ", which is all that is owed"
    return "Pays first", f"{format_money_with_code(paid, account.currency)}{left}" if paid else None


def asked_before(about: Preview) -> Preview:
    """Tell that a reference was used before, for a move that waits for a second person."""
    return replace(
        about,
        question="This is asked for already",
        notice="It waits for a second person; the same reference again is the same request.",
        link=("/support/approvals", "To the approvals"),
    )


def made_before(about: Preview, outcome: Outcome, root: str) -> Preview:
    """Tell that a reference was used before, for this very move; `root` is where the merchant's pages begin."""
    if outcome.transfer is None:
        return asked_before(about)
    return replace(
        about,
        question="This is made already",
        facts=facts_of(("Reference", outcome.transfer.reference)),
        notice="The ledger has it under this reference; the same again moves nothing.",
        link=(f"{root}/transfers/{outcome.transfer.id}", "See it"),
    )
