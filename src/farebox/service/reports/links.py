"""Links by which the reader of a report ends such reports, without signing in (RFC 8058).

A link names one reader, one merchant and one kind of report, and is signed as links that end mails of alerts are. It is
good for ever, as mails are kept, and opens nothing else; using it twice does what using it once did.
"""

from typing import Final

from msgspec import Struct

from farebox.service.errors import translated
from farebox.service.people.signing import Signer
from farebox.service.people.unsubscribing import PATH as UNSUBSCRIBE_PATH
from farebox.service.people.unsubscribing import LinkInvalid, LinkTexts
from farebox.storage.records import Login, Merchant
from farebox.storage.report_records import ALL_MERCHANTS, ReportKind
from farebox.storage.stores import Stores

PATH: Final = f"{UNSUBSCRIBE_PATH}reports/"
"""Where links are, below the public URL."""

_SIGNED: Final = "report {}"
"""The text that is signed: it has a word, which that of no link of an alert's mails has."""


class ReportSubscription(Struct, frozen=True):
    """What a link is about: who reads, the merchant or None for all of them, which report, and whether it is wanted."""

    login: Login
    merchant: Merchant | None
    kind: ReportKind
    is_on: bool


class ReportLinks:
    """Makes the links of one database, and does what they say. Every method may raise Unavailable."""

    def __init__(self, stores: Stores, signer: Signer) -> None:
        """Work on these stores, with this way to sign."""
        self._stores = stores
        self._texts = LinkTexts(stores, signer, signed=_SIGNED)

    async def url(self, login_id: int, merchant_id: int, kind: int, *, public_url: str) -> str:
        """Write the link that ends a reader's reports of a kind."""
        return f"{public_url}{PATH}{await self._texts.write(login_id, merchant_id, kind)}"

    async def read(self, text: str) -> ReportSubscription:
        """Read what a link is about.

        Raises:
            LinkInvalid: it is none of ours, or what it names is gone.
        """
        with translated():
            login_id, merchant_id, kind = await self._texts.read(text)
            login = await self._stores.logins.get(login_id)
            merchant = None if merchant_id == ALL_MERCHANTS else await self._stores.merchants.find(merchant_id)
            if login is None or (merchant is None and merchant_id != ALL_MERCHANTS):
                raise LinkInvalid
            choices = await self._stores.reports.choices(login_id, merchant_id)
        return ReportSubscription(login, merchant, ReportKind(kind), kind in [choice.kind for choice in choices])

    async def end(self, text: str) -> ReportSubscription:
        """Send a link's reader no reports of its kind any more.

        Raises:
            LinkInvalid: it is none of ours, or what it names is gone.
            FateUnknown: it may have been done.
        """
        subscription = await self.read(text)
        merchant_id = ALL_MERCHANTS if subscription.merchant is None else subscription.merchant.merchant_id
        with translated():
            await self._stores.reports.remove_choice(subscription.login.login_id, merchant_id, subscription.kind)
        return subscription
