"""Links by which the reader of a mail ends such mails, without signing in (RFC 8058).

A link names one reader and one kind of mail, and is signed by the operator's secret key and a seed of the database: it
can be made by nobody else, changed to no other reader or kind, and opens nothing else. It is good for ever, as mails
are kept; using it twice does what using it once did.
"""

from typing import Final

from msgspec import Struct

from farebox.core import ids
from farebox.core.alerts import MAILED_TO_OWNERS
from farebox.core.audit_log import Action
from farebox.service import parsing
from farebox.service.clock import Clock
from farebox.service.errors import ServiceError, translated
from farebox.service.people.api_keys import Principal, audit_entry_by
from farebox.service.people.signing import Signer
from farebox.storage.records import Merchant, Role, User
from farebox.storage.stores import Stores

PATH: Final = "/unsubscribe/"
"""Where links are, below the public URL."""

LINK_CHARS_MAX: Final = 100
_KINDS_MAX: Final = 62


class LinkInvalid(ServiceError):
    """This link was not made here, or its reader is not registered any more. There is nothing to end."""


class Subscription(Struct, frozen=True):
    """What a link is about: a user of a merchant's account, and the kind of alert that they are mailed of."""

    user: User
    merchant: Merchant
    kind: int

    @property
    def is_on(self) -> bool:
        """Whether the user is mailed of it."""
        return bool(self.user.mail_kinds >> self.kind & 1)


def is_optional(kind: int, role: int) -> bool:
    """Tell whether a user of this role may do without mails of a kind: owners are told of some whatever they choose."""
    return role != Role.OWNER or not MAILED_TO_OWNERS >> kind & 1


class LinkTexts:
    """Writes and reads what links end with: numbers that say what a link is about, and their signature."""

    def __init__(self, stores: Stores, signer: Signer, *, signed: str = "{}") -> None:
        """Sign with this, and the seed of these stores; `signed` is what is signed, with a place for the numbers."""
        self._stores = stores
        self._signer = signer
        self._signed = signed
        self._seed: bytes | None = None

    async def write(self, *numbers: int) -> str:
        """Write what a link about these numbers ends with."""
        named = ".".join(ids.encode_number(number) for number in numbers)
        return f"{named}.{self._signer.unsubscribe_token(await self._read_seed(), self._signed.format(named))}"

    async def read(self, text: str) -> list[int]:
        """Read the numbers.

        Raises:
            LinkInvalid: the link is none of ours.
        """
        named, _, token = text.rpartition(".")
        is_ours = len(text) <= LINK_CHARS_MAX and self._signer.is_unsubscribe_token(
            await self._read_seed(), self._signed.format(named), token
        )
        if not is_ours:
            raise LinkInvalid
        return [parsing.decode_number(part) for part in named.split(".")]

    async def _read_seed(self) -> bytes:
        if self._seed is None:
            self._seed = await self._stores.logins.signing_seed()
        return self._seed


class Unsubscribing:
    """Makes the links of one database, and does what they say. Every method may raise Unavailable."""

    def __init__(self, stores: Stores, signer: Signer, clock: Clock) -> None:
        """Work on these stores, with this way to sign."""
        self._stores = stores
        self._texts = LinkTexts(stores, signer)
        self._clock = clock

    async def link_text(self, user: User, kind: int) -> str:
        """Write what a link ends with."""
        return await self._texts.write(user.merchant_id, user.user_id, kind)

    async def read(self, text: str) -> Subscription:
        """Read what a link is about.

        Raises:
            LinkInvalid: it is none of ours, or its user is not registered any more.
        """
        with translated():
            merchant_id, user_id, kind = await self._texts.read(text)
            user = await self._stores.users.at(merchant_id, user_id)
            merchant = await self._stores.merchants.find(merchant_id)
        if user is None or merchant is None or kind > _KINDS_MAX:
            raise LinkInvalid
        return Subscription(user, merchant, kind)

    async def end(self, text: str, *, address: str | None) -> Subscription:
        """Mail a link's user no alerts of its kind any more; the audit log tells of it, once.

        Raises:
            LinkInvalid: it is none of ours, or its user is not registered any more.
            FateUnknown: it may have been done.
        """
        subscription = await self.read(text)
        user = subscription.user
        entry = audit_entry_by(
            Principal(user.email, address=address),
            self._clock.now(),
            Action.STOP_MAILS,
            merchant_id=user.merchant_id,
            subject=user.email,
        )
        with translated():
            await self._stores.users.stop_mails(user.merchant_id, user.user_id, 1 << subscription.kind, entry)
        return subscription
