"""Merchants, their people and keys: what support sets up around the ledger."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from farebox.core import ids
from farebox.core.accounts import Account
from farebox.core.approvals import NO_LIMITS, ApprovalLimits
from farebox.core.audit_log import Action, AuditEntry
from farebox.core.batch.closing import MERCHANT_CLOSED
from farebox.core.commands import KeyKind
from farebox.core.money import format_amount
from farebox.core.permissions import Operation
from farebox.core.staff_roles import EVERY_ROLE, NO_ROLE, StaffRole, roles_in_words, together
from farebox.core.thresholds import Threshold
from farebox.service import inputs
from farebox.service.clock import Clock
from farebox.service.errors import Conflict, InvalidInput, Missing, Refused, translated, unknown_merchant
from farebox.service.id_generator import IdGenerator
from farebox.service.people import api_keys
from farebox.service.people.api_keys import Principal, audit_entry_by, ensure_may, maker_of
from farebox.service.people.users import ROLE_WORDS
from farebox.service.repeats import RequestKey, repeat_of
from farebox.storage.api_keys import KeyEnded, KeyUnchanged
from farebox.storage.merchants import ALL_MERCHANTS
from farebox.storage.records import ApiKey, Merchant, MerchantFilter, Role, User
from farebox.storage.stores import Stores

__all__ = [
    "OVERLAP_SECONDS_DEFAULT",
    "ApiKey",
    "Merchant",
    "MerchantFilter",
    "Merchants",
    "NewKey",
    "Role",
    "User",
    "merchant_filter",
]

OVERLAP_SECONDS_DEFAULT: Final = 24 * 3600
"""How long a rotated key goes on working beside its successor."""

_MICROS_PER_SECOND: Final = 1_000_000
PAGE_ROWS: Final = 500


def merchant_filter(*, is_closed: bool | None = None, tag: str | None = None) -> MerchantFilter:
    """Tell which merchants are wanted.

    Raises:
        InvalidInput: the text is no tag.
    """
    return MerchantFilter(is_closed, None if tag is None else inputs.tag("tag", tag))


class NewKey(Struct, frozen=True):
    """A key that was made, and its text, which nobody can read again: empty once it was shown."""

    key: ApiKey
    text: str = ""


class Merchants:
    """What support sets up. Every method may raise InvalidInput, Missing, Conflict or Unavailable."""

    def __init__(self, stores: Stores, clock: Clock, *, limits: ApprovalLimits = NO_LIMITS) -> None:
        """Work on these stores; `limits` is how much one person may move alone."""
        self._limits = limits
        self._stores = stores
        self._clock = clock
        self._id_generator = IdGenerator(clock)

    async def create(
        self,
        *,
        name: str,
        currency: str,
        thresholds: list[str],
        credit_limit: str,
        principal: Principal | None = None,
        request_key: RequestKey | None = None,
    ) -> tuple[Merchant, Account, NewKey]:
        """Add a merchant with an empty book and its first API key.

        Nothing is told of an empty book, whatever its thresholds; the first money that moves in it is watched. A credit
        limit is as if it were set afterwards: above the operator's limit it needs a second person, so it is refused
        here.
        """
        ensure_may(principal, Operation.MANAGE_MERCHANTS)
        now = self._clock.now()
        merchant = Merchant(self._id_generator.next(), inputs.name("name", name), now)
        code = inputs.currency("currency", currency)
        limit = inputs.credit_limit("creditLimit", credit_limit, code)
        if limit:
            ensure_may(principal, Operation.SET_CREDIT_LIMIT)
        amounts = inputs.thresholds("thresholds", thresholds, credit_limit=limit, currency=code)
        account = Account(
            merchant.merchant_id,
            code,
            credit_limit=limit,
            thresholds=tuple(Threshold(amount, True) for amount in amounts),
        )
        self._check_credit_limit(account)
        key = self._new_key(KeyKind.MERCHANT, now, merchant_id=merchant.merchant_id)
        subject = ids.public_id(ids.MERCHANT, merchant.merchant_id)
        audit_entry = audit_entry_by(
            principal,
            now,
            Action.CREATE_MERCHANT,
            merchant_id=merchant.merchant_id,
            subject=subject,
            detail=merchant.name,
        )
        with translated():
            await self._stores.merchants.create(
                merchant,
                account,
                key.key,
                audit_entry,
                repeat_of(request_key, merchant.merchant_id, now),
                maker=maker_of(principal),
            )
        return merchant, account, key

    async def made(self, merchant_id: int) -> tuple[Merchant, Account, NewKey]:
        """Read again what `create` made; the first key's text is gone."""
        merchant, account = await self.get(merchant_id)
        keys = await self.keys(merchant_id)
        return merchant, account, NewKey(keys[0])

    async def rename(self, merchant_id: int, name: str, *, principal: Principal | None = None) -> None:
        """Change a merchant's name."""
        ensure_may(principal, Operation.MANAGE_MERCHANTS)
        checked = inputs.name("name", name)
        subject = ids.public_id(ids.MERCHANT, merchant_id)
        audit_entry = audit_entry_by(
            principal,
            self._clock.now(),
            Action.RENAME_MERCHANT,
            merchant_id=merchant_id,
            subject=subject,
            detail=checked,
        )
        with translated():
            await self._stores.merchants.rename(merchant_id, checked, audit_entry)

    async def get(self, merchant_id: int) -> tuple[Merchant, Account]:
        """Read a merchant and its account."""
        with translated():
            merchant = await self._stores.merchants.find(merchant_id)
            account = await self._stores.accounts.find(merchant_id)
        if merchant is None or account is None:
            raise unknown_merchant(merchant_id)
        return merchant, account

    async def page(
        self, *, after: int | None, limit: int, wanted: MerchantFilter = ALL_MERCHANTS
    ) -> Sequence[tuple[Merchant, Account]]:
        """List the wanted merchants, oldest first: those after the merchant of this number, `limit` at most."""
        with translated():
            return await self._stores.merchants.page(-1 if after is None else after, limit, wanted)

    async def list(
        self, *, page_rows: int = PAGE_ROWS, wanted: MerchantFilter = ALL_MERCHANTS
    ) -> Sequence[tuple[Merchant, Account]]:
        """List all wanted merchants, oldest first; they are read `page_rows` at a time."""
        merchants: list[tuple[Merchant, Account]] = []
        while page := await self.page(
            after=merchants[-1][0].merchant_id if merchants else None, limit=page_rows, wanted=wanted
        ):
            merchants.extend(page)
        return merchants

    async def add_user(
        self,
        merchant_id: int,
        email: str,
        *,
        role: Role | None = None,
        principal: Principal | None = None,
        request_key: RequestKey | None = None,
    ) -> User:
        """Register a person on a merchant's account: who is registered gets its alerts, and may ask for a password.

        Without a `role` the first person is an owner, and all others are members.
        """
        ensure_may(principal, Operation.MANAGE_USERS)
        now = self._clock.now()
        if role is None:
            with translated():
                role = Role.MEMBER if await self._stores.users.list(merchant_id) else Role.OWNER
        user = User(merchant_id, self._id_generator.next(), inputs.email("email", email), now, role)
        audit_entry = audit_entry_by(
            principal, now, Action.ADD_USER, merchant_id=merchant_id, subject=user.email, detail=ROLE_WORDS[role]
        )
        with translated(conflict=f"{user.email} is registered there already"):
            await self._stores.users.add(user, audit_entry, repeat_of(request_key, user.user_id, now))
        return user

    async def user(self, merchant_id: int, user_id: int) -> User:
        """Read a person registered on a merchant's account."""
        for user in await self.users(merchant_id):
            if user.user_id == user_id:
                return user
        raise Missing("nobody registered there has this id")

    async def users(self, merchant_id: int) -> Sequence[User]:
        """List the people registered on a merchant's account."""
        await self.get(merchant_id)
        with translated():
            return await self._stores.users.list(merchant_id)

    async def create_key(
        self,
        kind: KeyKind,
        *,
        merchant_id: int | None = None,
        name: str | None = None,
        roles: Iterable[StaffRole] = (),
        expires: str | None = None,
        principal: Principal | None = None,
        request_key: RequestKey | None = None,
    ) -> NewKey:
        """Make an API key: `merchant_id` for a merchant's, which may have a `name`, as a service's or support's must.

        A support key has the `roles` that are named, or else those of who makes it; more it can't have.

        Raises:
            Forbidden: this principal makes no such keys, or none of these roles.
        """
        ensure_may(principal, key_operation(merchant_id))
        await self._ensure_open(merchant_id)
        now = self._clock.now()
        expires_at = None if expires is None else inputs.time("expires", expires)
        if expires_at is not None and expires_at <= now:
            raise InvalidInput("expires", "a key can't expire before it is made; name a time to come")
        owner = None if name is None else inputs.name("name", name)
        given = _key_roles(kind, together(roles), principal)
        key = self._new_key(kind, now, merchant_id=merchant_id, name=owner, roles=given, expires_at=expires_at)
        with translated():
            await self._stores.api_keys.create(
                key.key,
                key_audit_entry(principal, now, Action.CREATE_KEY, key.key),
                repeat_of(request_key, key.key.key_id, now),
                maker=maker_of(principal),
            )
        return key

    async def made_key(self, key_id: int) -> NewKey:
        """Read again what `create_key` or `rotate_key` made; its text is gone."""
        return NewKey(await self.key(key_id))

    async def keys(self, merchant_id: int | None) -> Sequence[ApiKey]:
        """List a merchant's API keys, or the services' and support's with None."""
        if merchant_id is not None:
            await self.get(merchant_id)
        with translated():
            return await self._stores.api_keys.list(merchant_id)

    async def key(self, key_id: int) -> ApiKey:
        """Read an API key of any kind."""
        with translated():
            found = await self._stores.api_keys.find(key_id)
        if found is None:
            raise Missing(f"no key has the id {ids.public_id(ids.KEY, key_id)}")
        return found

    async def revoke_key(self, key_id: int, *, principal: Principal | None = None) -> bool:
        """Close an API key at once and for ever; False if it was closed before, and nothing is changed or logged."""
        now = self._clock.now()
        key = await self.key(key_id)
        ensure_may(principal, key_operation(key.merchant_id))
        with translated():
            try:
                await self._stores.api_keys.revoke(key_id, now, key_audit_entry(principal, now, Action.REVOKE_KEY, key))
            except KeyEnded:
                return False
        return True

    async def suspend_key(self, key_id: int, *, principal: Principal | None = None) -> bool:
        """Let a merchant's API key open nothing until it is resumed; False if it is suspended already.

        Raises:
            Conflict: it was revoked or has expired, or it is a service's or support's.
        """
        now, key = self._clock.now(), await self._suspendable_key(key_id, principal)
        with translated(), _of_valid_key():
            try:
                await self._stores.api_keys.suspend(
                    key_id, now, key_audit_entry(principal, now, Action.SUSPEND_KEY, key)
                )
            except KeyUnchanged:
                return False
        return True

    async def resume_key(self, key_id: int, *, principal: Principal | None = None) -> bool:
        """Let a merchant's API key that is suspended open what it did before; False if it is not suspended.

        Raises:
            Conflict: it is a service's or support's.
        """
        now, key = self._clock.now(), await self._suspendable_key(key_id, principal)
        with translated():
            try:
                await self._stores.api_keys.resume(key_id, key_audit_entry(principal, now, Action.RESUME_KEY, key))
            except KeyUnchanged:
                return False
        return True

    async def _suspendable_key(self, key_id: int, principal: Principal | None) -> ApiKey:
        key = await self.key(key_id)
        ensure_may(principal, Operation.SUSPEND_MERCHANT_KEY)
        if key.merchant_id is None:
            raise Conflict("only merchants' keys are suspended; end a service's or support's key, or revoke it")
        return key

    async def expire_key(self, key_id: int, expires: str, *, principal: Principal | None = None) -> ApiKey:
        """Let an API key that has not ended end at a time to come, earlier or later than it was to.

        Raises:
            Conflict: it was revoked, or has expired.
        """
        now = self._clock.now()
        expires_at = inputs.time("expires", expires)
        if expires_at <= now:
            raise InvalidInput("expires", "name a time to come; to close a key at once, revoke it")
        key = await self.key(key_id)
        ensure_may(principal, key_operation(key.merchant_id))
        audit_entry = key_audit_entry(principal, now, Action.EXPIRE_KEY, key, f"from {inputs.format_time(expires_at)}")
        with translated(), _of_valid_key():
            await self._stores.api_keys.expire(key_id, expires_at, now=now, audit_entry=audit_entry)
        return await self.key(key_id)

    async def rotate_key(
        self,
        key_id: int,
        *,
        overlap_seconds: int = OVERLAP_SECONDS_DEFAULT,
        principal: Principal | None = None,
        request_key: RequestKey | None = None,
    ) -> NewKey:
        """Make a key's successor of the same roles; the old one goes on for `overlap_seconds`, or until it was to end.

        Raises:
            Conflict: it was revoked, or has expired.
            Forbidden: this principal makes no such keys, or none of these roles.
        """
        now = self._clock.now()
        inputs.overlap_seconds("overlapSeconds", overlap_seconds)
        old = await self.key(key_id)
        ensure_may(principal, key_operation(old.merchant_id))
        await self._ensure_open(old.merchant_id)
        roles = StaffRole(old.roles)
        if principal is not None:
            principal.ensure_has(roles)
        key = self._new_key(KeyKind(old.kind), now, merchant_id=old.merchant_id, name=old.name, roles=roles)
        expires_at = now + overlap_seconds * _MICROS_PER_SECOND
        audit_entry = key_audit_entry(
            principal, now, Action.ROTATE_KEY, key.key, f"instead of {ids.public_id(ids.KEY, key_id)}"
        )
        with translated(), _of_valid_key():
            await self._stores.api_keys.rotate(
                key_id,
                successor=key.key,
                expires_at=expires_at,
                audit_entry=audit_entry,
                repeat=repeat_of(request_key, key.key.key_id, now),
                maker=maker_of(principal),
            )
        return key

    async def _ensure_open(self, merchant_id: int | None) -> None:
        """Go on unless a merchant that keys are made for is closed.

        Raises:
            Refused: it is.
        """
        if merchant_id is not None:
            with translated():
                account = await self._stores.accounts.find(merchant_id)
            if account is not None and account.closed_at is not None:
                raise Refused(MERCHANT_CLOSED)

    def _check_credit_limit(self, account: Account) -> None:
        limit = self._limits.of(account.currency)
        if limit is not None and account.credit_limit > limit:
            raise InvalidInput(
                "creditLimit",
                f"more than {format_amount(limit)} {account.currency} needs a second person; add the merchant without, "
                "then set its credit limit, which waits for approval",
            )

    def _new_key(
        self,
        kind: KeyKind,
        now: int,
        *,
        merchant_id: int | None = None,
        name: str | None = None,
        roles: StaffRole = NO_ROLE,
        expires_at: int | None = None,
    ) -> NewKey:
        text = api_keys.make_key(kind, merchant_id)
        return NewKey(
            ApiKey(
                key_id=self._id_generator.next(),
                kind=kind,
                digest=api_keys.digest(text),
                hint=api_keys.hint(text),
                created_at=now,
                merchant_id=merchant_id,
                name=name,
                expires_at=expires_at,
                roles=roles,
            ),
            text,
        )


@contextmanager
def _of_valid_key() -> Iterator[None]:
    """Say why what is asked of a key can't be done any more."""
    try:
        yield
    except KeyEnded as error:
        raise Conflict("the key is revoked or expired, and opens nothing any more; create a new one instead") from error


def key_operation(merchant_id: int | None) -> Operation:
    """Tell which operation it is to make or end a key: a merchant's, or with None a service's or support's."""
    return Operation.MANAGE_KEYS if merchant_id is None else Operation.MANAGE_MERCHANT_KEYS


def _key_roles(kind: KeyKind, wanted: StaffRole, principal: Principal | None) -> StaffRole:
    """Tell the roles of a new key; none were named if `wanted` is empty.

    Raises:
        InvalidInput: this kind of key has no roles.
        Forbidden: whoever makes it has not got them.
    """
    if kind != KeyKind.SUPPORT:
        if wanted:
            raise InvalidInput("role", "only support's keys have roles")
        return NO_ROLE
    if principal is None:
        return wanted or EVERY_ROLE
    principal.ensure_has(wanted)
    return wanted or principal.roles or NO_ROLE


def key_audit_entry(
    principal: Principal | None, at: int, action: Action, key: ApiKey, more: str = ""
) -> AuditEntry | None:
    """Make the entry of what is done to a key; None for Farebox itself."""
    roles = f"as {roles_in_words(key.roles)}" if key.roles else ""
    detail = " ".join(part for part in (key.hint, key.name, roles, more) if part)
    subject = ids.public_id(ids.KEY, key.key_id)
    return audit_entry_by(principal, at, action, merchant_id=key.merchant_id, subject=subject, detail=detail)
