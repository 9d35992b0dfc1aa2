"""The money still to be taken for a request that was served: by a capture, or a charge where no hold is left.

Both go under one idempotency key, so a capture whose answer was lost is never charged a second time: Farebox then
refuses the charge, as the key was used for something else.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from farebox_client.messages import ChargeFields
from farebox_client.middleware.request_charge import ChargeEnding, RequestCharge

MERCHANT: Final = "mer_"
_HOLD: Final = "hold_"
_NUMBER_CHARS: Final = 13
_HINT_CHARS: Final = 4


@dataclass(frozen=True)
class Owed:
    """The cost of one request that was served."""

    key: str
    """The idempotency key of whatever takes it."""
    merchant: str
    """The merchant's id; the API key, of a request that was let through while Farebox could not be asked."""
    type: str
    requested_at: str
    hold: str | None = None
    quantities: Mapping[str, int] | None = None
    amount: str | None = None
    held_quantities: Mapping[str, int] | None = None
    held_amount: str | None = None

    @property
    def payer(self) -> str:
        """The payer as logs may have it: a key is told from others by its end."""
        is_id = self.merchant.startswith(MERCHANT)
        return self.merchant if is_id else f"a key that ends in {self.merchant[-_HINT_CHARS:]}"

    @property
    def charge(self) -> ChargeFields:
        """The charge that takes it if no hold does: of all there is, as the request was served."""
        is_named = self.quantities is not None or self.amount is not None
        amount = self.amount if is_named else self.held_amount
        return ChargeFields(
            merchant=self.merchant,
            type=self.type,
            quantities=self.quantities if is_named else self.held_quantities,
            amount=None if amount is None else Decimal(amount),
            above="uncollected",
            requested_at=datetime.fromisoformat(self.requested_at),
            key=self.key,
        )

    def to_json(self) -> str:
        """Write it for a spool."""
        return json.dumps({name: value for name, value in asdict(self).items() if value is not None})

    @classmethod
    def of_json(cls, text: str) -> "Owed":
        """Read it again."""
        members: dict[str, Any] = json.loads(text)
        return cls(**members)


def owed_for(charge: RequestCharge, ending: ChargeEnding) -> Owed | None:
    """Tell what is to be taken for a request that ended so; None if its type was never named."""
    if charge.type is None:
        return None
    price = charge.price
    return Owed(
        charge.key,
        charge.merchant or charge.api_key or "",
        charge.type,
        charge.requested_at.isoformat(),
        charge.hold,
        ending.quantities,
        None if ending.amount is None else format(ending.amount, "f"),
        None if price is None or price.quantities is None else dict(price.quantities),
        None if price is None or price.amount is None else str(price.amount),
    )


def merchant_of_hold(hold_id: str) -> str:
    """Read whose a hold is: its id begins with the merchant's number."""
    return MERCHANT + hold_id[len(_HOLD) : len(_HOLD) + _NUMBER_CHARS]
