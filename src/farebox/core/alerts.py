"""Alerts: what happened on a merchant's account that somebody may be told of, and the facts of it.

An alert is made in the transaction that caused it, with all that will ever be told of it, so that every delivery of it
says the same however late it is. docs/explanation/alerts.md has the rules.
"""

import json
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final, Protocol

from msgspec import Struct

from farebox.core import ids


class AlertKind(IntEnum):
    """What an alert tells. The number is what the database stores, and below 31: a set of kinds is kept as bits."""

    LOW_BALANCE = 1
    """Posted is below a threshold."""
    USED_UP = 2
    """A request was refused for lack of money."""
    CREDIT_ENDS = 3
    """Given credit ends soon."""
    RECOVERED = 4
    """Money arrived, and ended an episode of a threshold or of a balance that was used up."""
    TOP_UP = 5
    """A top-up was posted."""
    CREDIT_ENDED = 6
    """A grant ended with something left."""
    HOLD_EXPIRED = 7
    """A hold was neither captured nor released in time."""
    BUDGET_REACHED = 8
    """A request was refused for the budget of its API key."""
    FROZEN = 9
    """The merchant was frozen."""
    RUNWAY_SHORT = 10
    """The balance lasts for fewer days than a threshold in days."""
    APPROVAL_WAITING = 11
    """Something waits for a second person of the operator's staff."""
    UNUSUAL_SPENDING = 12
    """Requests are charged at a rate far out of the merchant's own profile."""
    DESTINATION_DISABLED = 13
    """A destination was disabled, as deliveries to it failed for too long."""
    UNFROZEN = 14
    """The merchant is no longer frozen."""


EVENT_TYPES: Final[Mapping[int, str]] = {
    AlertKind.LOW_BALANCE: "balance.low",
    AlertKind.USED_UP: "balance.exhausted",
    AlertKind.CREDIT_ENDS: "grant.expiring",
    AlertKind.RECOVERED: "balance.recovered",
    AlertKind.TOP_UP: "topup.posted",
    AlertKind.CREDIT_ENDED: "grant.expired",
    AlertKind.HOLD_EXPIRED: "hold.expired",
    AlertKind.BUDGET_REACHED: "key.budget_reached",
    AlertKind.FROZEN: "merchant.frozen",
    AlertKind.RUNWAY_SHORT: "runway.short",
    AlertKind.APPROVAL_WAITING: "approval.waiting",
    AlertKind.UNUSUAL_SPENDING: "spending.unusual",
    AlertKind.DESTINATION_DISABLED: "destination.disabled",
    AlertKind.UNFROZEN: "merchant.unfrozen",
}
"""Each kind as webhooks and the API name it."""


def kind_set(*kinds: AlertKind) -> int:
    """Write a set of kinds as the bits of a number."""
    return sum(1 << kind for kind in set(kinds))


MAILED_FROM_THE_START: Final = kind_set(
    AlertKind.LOW_BALANCE,
    AlertKind.USED_UP,
    AlertKind.CREDIT_ENDS,
    AlertKind.RUNWAY_SHORT,
    AlertKind.UNUSUAL_SPENDING,
)
"""What a user is mailed of who has chosen nothing."""

MAILED_TO_OWNERS: Final = kind_set(AlertKind.USED_UP, AlertKind.DESTINATION_DISABLED)
"""What owners are mailed of whatever they chose."""

FOR_THE_OPERATOR: Final = kind_set(AlertKind.APPROVAL_WAITING)
"""Kinds that are no affair of the merchant's: the operator's destinations alone are told."""


class Alert(Struct, frozen=True, gc=False):
    """What happened on a merchant's account: alert `number` of its book. Amounts are micros."""

    merchant_id: int
    number: int
    threshold: int | None
    """The lowest threshold that posted is below; None for all kinds but LOW_BALANCE."""
    posted: int
    fired_at: int
    transfer_seq: int | None
    """The transfer that left posted below; None if a threshold was set too high or a user joined. If the balance is
    used up, the last transfer before the refusal; None if there was none. If credit ends, the one that brought it."""
    kind: int = AlertKind.LOW_BALANCE
    refused: int | None = None
    """What the refused request would have taken, if the balance is used up."""
    user_id: int | None = None
    """The user who joined meanwhile and alone is told; None if all are."""
    facts: str | None = None
    """What else is to be told, as `written_facts` writes it; None for an alert of a time that knew no facts."""
    traceparent: str | None = None
    """The span, as W3C's header of that name tells it, of the request that caused it; None if that was not traced."""

    @property
    def id(self) -> str:
        """The public id: that of the event, for whom it is told."""
        return ids.book_id(ids.ALERT, merchant_id=self.merchant_id, seq=self.number)

    @property
    def transfer_id(self) -> str | None:
        """The public id of the transfer that `transfer_seq` names."""
        if self.transfer_seq is None:
            return None
        return ids.book_id(ids.TRANSFER, merchant_id=self.merchant_id, seq=self.transfer_seq)

    @property
    def read_facts(self) -> Mapping[str, Any]:
        """The facts by name; empty if it has none."""
        return {} if self.facts is None else dict(json.loads(self.facts))


class AlertBalances(Protocol):
    """What facts begin with: the balances of a book, or of its account, in micros."""

    @property
    def currency(self) -> str:
        """The currency's code."""

    @property
    def wallet(self) -> int:
        """The available part, in micros."""

    @property
    def held(self) -> int:
        """What holds set aside."""

    @property
    def credit_limit(self) -> int:
        """How far below zero the wallet may go."""


def written_facts(balances: AlertBalances, more: Mapping[str, Any] | None = None) -> str:
    """Write the facts of an alert as it keeps them: the balances of this moment, then what is its kind's own.

    They are JSON in which amounts are micros, times microseconds since 1970, and numbers those of the book.
    """
    facts = {
        "currency": balances.currency,
        "available": balances.wallet,
        "held": balances.held,
        "credit_limit": balances.credit_limit,
        **(more or {}),
    }
    return json.dumps(facts, separators=(",", ":"), ensure_ascii=False)
