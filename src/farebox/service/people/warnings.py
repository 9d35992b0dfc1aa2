"""Warnings by mail: which of them each of the staff gets, and the links by which their reader ends them (RFC 8058).

A link names one of the staff and one kind of alert, and is signed as links that end mails of alerts are. It is good for
ever, as mails are kept, and opens nothing else; using it twice does what using it once did.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from farebox.core.alerting.staff_warnings import WARNED_FROM_THE_START, offered_warnings
from farebox.core.audit_log import Action
from farebox.core.permissions import Operation
from farebox.service.clock import Clock
from farebox.service.errors import InvalidInput, translated
from farebox.service.event_types import KIND_OF_TYPE, types_of
from farebox.service.people.api_keys import Principal, audit_entry_by, ensure_may
from farebox.service.people.signing import Signer
from farebox.service.people.unsubscribing import PATH as UNSUBSCRIBE_PATH
from farebox.service.people.unsubscribing import LinkInvalid, LinkTexts
from farebox.storage.records import Login, Realm
from farebox.storage.stores import Stores

PATH: Final = f"{UNSUBSCRIBE_PATH}warnings/"
"""Where links are, below the public URL."""

WARNING_TYPES: Final = tuple(types_of(WARNED_FROM_THE_START))
"""The types of events that staff are warned of."""

_SIGNED: Final = "warning {}"
"""The text that is signed: it has a word, which that of no other link has."""


class WarningSubscription(Struct, frozen=True):
    """What a link is about: one of the staff, and the kind of alert that they are warned of."""

    login: Login
    kind: int

    @property
    def is_on(self) -> bool:
        """Whether they are warned of it."""
        return bool(self.login.mail_kinds >> self.kind & 1)


class WarningChoices:
    """What staff chose. Every method may raise Unavailable and, if it writes, Forbidden and FateUnknown."""

    def __init__(self, stores: Stores, signer: Signer, clock: Clock) -> None:
        """Work on these stores, with this way to sign."""
        self._stores = stores
        self._texts = LinkTexts(stores, signer, signed=_SIGNED)
        self._clock = clock

    async def set(self, email: str, types: Sequence[str], *, principal: Principal | None) -> Login:
        """Choose which types of events one of the staff is warned of by mail; it replaces what they had chosen.

        What their roles are not warned of stays as it is, for the day on which they have others. Everybody chooses for
        themselves; for others, who manages staff.

        Raises:
            InvalidInput: they are not support staff, or are not warned of such a type.
        """
        login = await self.find(email)
        if principal is None or principal.login_id != login.login_id:
            ensure_may(principal, Operation.MANAGE_STAFF)
        offered = offered_warnings(login.roles)
        kinds = 0
        for name in types:
            if name not in types_of(offered):
                words = ", ".join(types_of(offered)) or "none"
                raise InvalidInput("types", f"{name[:40]!r} is no warning to somebody of this role; there are {words}")
            kinds |= 1 << KIND_OF_TYPE[name]
        audit_entry = audit_entry_by(
            principal,
            self._clock.now(),
            Action.SET_MAIL_KINDS,
            subject=login.email,
            detail=", ".join(types_of(kinds)) or "none",
        )
        wanted = (login.mail_kinds & ~offered) | kinds
        with translated(missing=f"{login.email} is not support staff"):
            await self._stores.logins.set_mail_kinds(login.login_id, wanted, audit_entry)
        return replace(login, mail_kinds=wanted)

    async def find(self, email: str) -> Login:
        """Read one of the staff, with what they chose.

        Raises:
            InvalidInput: they are not support staff.
        """
        with translated():
            login = await self._stores.logins.find(Realm.SUPPORT, email)
        if login is None:
            raise InvalidInput("email", f"{email} is not support staff")
        return login

    async def url(self, login_id: int, kind: int, *, public_url: str) -> str:
        """Write the link that ends a reader's warnings of a kind."""
        return f"{public_url}{PATH}{await self._texts.write(login_id, kind)}"

    async def read(self, text: str) -> WarningSubscription:
        """Read what a link is about.

        Raises:
            LinkInvalid: it is none of ours, or whom it names is gone.
        """
        with translated():
            login_id, kind = await self._texts.read(text)
            login = await self._stores.logins.get(login_id)
        if login is None:
            raise LinkInvalid
        return WarningSubscription(login, kind)

    async def end(self, text: str, *, address: str | None) -> WarningSubscription:
        """Warn a link's reader of no alerts of its kind any more; the audit log tells of it, once.

        Raises:
            LinkInvalid: it is none of ours, or whom it names is gone.
            FateUnknown: it may have been done.
        """
        subscription = await self.read(text)
        login = subscription.login
        reader = Principal(login.email, address=address, login_id=login.login_id)
        entry = audit_entry_by(reader, self._clock.now(), Action.STOP_MAILS, subject=login.email)
        with translated():
            await self._stores.logins.stop_mails(login.login_id, 1 << subscription.kind, entry)
        return subscription


def offered_warning_types(login: Login) -> list[str]:
    """Name the types of events that one of the staff may be warned of."""
    return types_of(offered_warnings(login.roles))


def warned_types(login: Login) -> list[str]:
    """Name the types of events that one of the staff is warned of."""
    return types_of(login.mail_kinds & offered_warnings(login.roles))
