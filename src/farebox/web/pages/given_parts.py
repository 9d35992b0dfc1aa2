"""What of a transfer was given credit: what both the merchant's page of a transfer and the console's show."""

from msgspec import Struct

from farebox.core.credit.grants import Grant, read_given
from farebox.core.transfers import Transfer
from farebox.web.pages.request import PageRequest


class GivenPart(Struct, frozen=True):
    """What a transfer took from a grant, or gave back to it, in micros."""

    grant: Grant
    amount: int


async def given_parts(request: PageRequest, transfer: Transfer) -> list[GivenPart]:
    """List the grants that a transfer took from, gave back to, brought or ended, in the order of spending."""
    parts = read_given(transfer.given)
    grants = await request.services.grants.named(transfer.merchant_id, [number for number, _ in parts])
    return [GivenPart(grants[number], amount) for number, amount in parts if number in grants]
