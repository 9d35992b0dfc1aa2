"""Why a transfer has its amount: what both the merchant's page of a transfer and the console's show."""

from msgspec import Struct

from farebox.core.prices import Price
from farebox.core.transfers import Transfer
from farebox.presenters.pricing.charge_words import ChargeWords, charge_words, priced_of
from farebox.web.pages.request import PageRequest


class Explanation(Struct, frozen=True):
    """The version of the price that applied, and what was priced by it if that is a rule.

    `priced` is the transfer itself; or, of a refund, a release and a capture of an amount, the one that it refers to.
    """

    price: Price | None
    priced: Transfer | None = None
    words: ChargeWords | None = None


async def explanation(
    request: PageRequest, transfer: Transfer, refers_to: Transfer | None, currency: str
) -> Explanation:
    """Explain a transfer by its price, or by that of the transfer that it refers to."""
    priced = priced_of(transfer, refers_to)
    price = await request.services.prices.named_by(priced or transfer)
    if priced is None or price is None:
        return Explanation(price)
    return Explanation(price, priced, charge_words(price, priced, currency, request.zone, request.language))
