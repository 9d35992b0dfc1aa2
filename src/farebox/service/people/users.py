"""The people who may sign in: a merchant's users with their roles, and the operator's staff."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from farebox.core import ids
from farebox.core.approvals import NO_LIMITS, ApprovalLimits
from farebox.core.audit_log import Action, AuditEntry
from farebox.core.people import COMMAND_LINE, account_people, write_people
from farebox.core.permissions import Operation
from farebox.core.staff_roles import EVERY_ROLE, STAFF_ROLES, StaffRole, roles_in_words, together
from farebox.service import inputs
from farebox.service.clock import Clock
from farebox.service.errors import Conflict, InvalidInput, Missing, NeedsAnotherPerson, translated
from farebox.service.id_generator import IdGenerator
from farebox.service.people.api_keys import Principal, audit_entry_by, ensure_may, maker_of
from farebox.service.people.sign_in import SignIn, normal_email
from farebox.service.repeats import RequestKey, repeat_of
from farebox.storage.interface import AlreadyExists
from farebox.storage.people.logins import AlreadySo, ChangedMeanwhile, LastAdministrator, LoginClosed, SamePerson
from farebox.storage.people.users import LastOwner
from farebox.storage.records import AccountMail, ApiKey, Login, Membership, Purpose, Realm, Role, User
from farebox.storage.stores import Stores

__all__ = ["ROLES", "ROLE_WORDS", "Login", "Member", "Membership", "Realm", "Role", "Staff", "User", "Users"]

ROLE_WORDS: Final[dict[Role, Literal["owner", "member", "viewer"]]] = {
    Role.OWNER: "owner",
    Role.MEMBER: "member",
    Role.VIEWER: "viewer",
}
ROLES: Final[dict[str, Role]] = {word: role for role, word in ROLE_WORDS.items()}

_LAST_OWNER: Final = "The account needs an owner: make somebody else one first"
_LAST_ADMINISTRATOR: Final = (
    "They are the last administrator who can sign in: make somebody else one first, and let them choose a password"
)


class Member(Struct, frozen=True):
    """A person on a merchant's account; `login` is None until they are invited or ask for a password."""

    user: User
    login: Login | None


class Users:
    """Merchants' users. Every method may raise Unavailable and, if it writes, Forbidden and FateUnknown."""

    def __init__(self, stores: Stores, clock: Clock, sign_in: SignIn) -> None:
        """Work on these stores."""
        self._stores = stores
        self._clock = clock
        self._sign_in = sign_in
        self._id_generator = IdGenerator(clock)

    async def memberships(self, email: str) -> Sequence[Membership]:
        """List the merchants on whose account an address is registered."""
        with translated():
            return await self._stores.users.memberships(email)

    async def role(self, merchant_id: int, email: str) -> Role | None:
        """Tell what an address may do on a merchant's account, as of now."""
        with translated():
            return await self._stores.users.role(merchant_id, email)

    async def members(self, merchant_id: int) -> list[Member]:
        """List a merchant's people, oldest first."""
        with translated():
            return [Member(user, login) for user, login in await self._stores.users.with_logins(merchant_id)]

    async def invite(
        self,
        merchant_id: int,
        email: str,
        role: Role,
        *,
        principal: Principal | None,
        request_key: RequestKey | None = None,
    ) -> User:
        """Register a person on a merchant's account, who then gets its alerts, and mail them how to sign in.

        Raises:
            InvalidInput: this is no address, or was sent too many account mails lately.
            Conflict: it is registered there already.
            UnknownMerchant: no such merchant.
        """
        ensure_may(principal, Operation.MANAGE_USERS)
        address = inputs.email("email", email)
        now = self._clock.now()
        user = User(merchant_id, self._id_generator.next(), address, now, role)
        audit_entry = audit_entry_by(
            principal, now, Action.ADD_USER, merchant_id=merchant_id, subject=address, detail=ROLE_WORDS[role]
        )
        with translated(conflict=f"{address} is registered there already"):
            try:
                await self._register(user, audit_entry, request_key)
            except AlreadyExists:
                # If they are not, their login was made at this moment, for another merchant, and is there now.
                await self._register(user, audit_entry, request_key)
        return user

    async def invite_again(
        self, merchant_id: int, email: str, *, principal: Principal | None, request_key: RequestKey | None = None
    ) -> AccountMail:
        """Mail a registered person once more how to sign in.

        Raises:
            InvalidInput: they are not registered there, or had too many account mails lately.
        """
        ensure_may(principal, Operation.MANAGE_USERS)
        address = normal_email(email)
        with translated():
            if await self._stores.users.role(merchant_id, address) is None:
                raise InvalidInput("email", f"{email} is not registered there")
            found = await self._stores.logins.find(Realm.MERCHANT, address)
            login = found or self._new_login(address)
            await self._sign_in.ensure_may_mail(login)
            now = self._clock.now()
            audit_entry = audit_entry_by(principal, now, Action.INVITE_USER, merchant_id=merchant_id, subject=address)
            account_mail = self._sign_in.account_mail(Purpose.INVITATION, login, merchant_id=merchant_id)
            repeat = repeat_of(request_key, account_mail.account_mail_id, now)
            await self._stores.account_mails.add(account_mail, None if found else login, audit_entry, repeat)
        return account_mail

    async def set_role(
        self, merchant_id: int, email: str, role: Role, *, is_owner_needed: bool, principal: Principal | None
    ) -> None:
        """Change what a person may do.

        Raises:
            InvalidInput: no owner would be left, and one is needed.
            Missing: they are not registered there.
        """
        ensure_may(principal, Operation.MANAGE_USERS)
        address = normal_email(email)
        audit_entry = audit_entry_by(
            principal,
            self._clock.now(),
            Action.SET_ROLE,
            merchant_id=merchant_id,
            subject=address,
            detail=ROLE_WORDS[role],
        )
        with translated(missing=f"{email} is not registered there"):
            try:
                await self._stores.users.set_role(
                    merchant_id, address, role, is_owner_needed=is_owner_needed, audit_entry=audit_entry
                )
            except LastOwner as error:
                raise InvalidInput("role", _LAST_OWNER) from error

    async def remove(
        self,
        merchant_id: int,
        email: str,
        *,
        is_owner_needed: bool,
        principal: Principal | None,
        request_key: RequestKey | None = None,
    ) -> None:
        """Take a person off a merchant's account: no alerts, no access, from now on.

        Raises:
            InvalidInput: no owner would be left, and one is needed.
            Missing: they are not registered there.
        """
        ensure_may(principal, Operation.MANAGE_USERS)
        address = normal_email(email)
        now = self._clock.now()
        audit_entry = audit_entry_by(principal, now, Action.REMOVE_USER, merchant_id=merchant_id, subject=address)
        with translated(missing=f"{email} is not registered there"):
            try:
                await self._stores.users.remove(
                    merchant_id,
                    address,
                    is_owner_needed=is_owner_needed,
                    audit_entry=audit_entry,
                    repeat=repeat_of(request_key, merchant_id, now),
                )
            except LastOwner as error:
                raise InvalidInput("email", _LAST_OWNER) from error

    async def _register(self, user: User, audit_entry: AuditEntry | None, request_key: RequestKey | None) -> None:
        found = await self._stores.logins.find(Realm.MERCHANT, user.email)
        login = found or self._new_login(user.email)
        await self._sign_in.ensure_may_mail(login)
        account_mail = self._sign_in.account_mail(Purpose.INVITATION, login, merchant_id=user.merchant_id)
        await self._stores.users.invite(
            user,
            account_mail=account_mail,
            login=None if found else login,
            audit_entry=audit_entry,
            repeat=repeat_of(request_key, user.user_id, user.created_at),
        )

    def _new_login(self, email: str) -> Login:
        return Login(self._id_generator.next(), Realm.MERCHANT, email, email, self._clock.now())


class Staff:
    """The operator's staff. Every method may raise Unavailable and, if it writes, Forbidden and FateUnknown.

    One administrator who can sign in stays, if there ever was one: another has to be there before the last is closed or
    loses the role.
    """

    def __init__(self, stores: Stores, clock: Clock, sign_in: SignIn, *, limits: ApprovalLimits = NO_LIMITS) -> None:
        """Work on these stores; `limits` is how much one person may move alone."""
        self._limits = limits
        self._stores = stores
        self._clock = clock
        self._sign_in = sign_in
        self._id_generator = IdGenerator(clock)

    async def add(
        self,
        email: str,
        name: str,
        *,
        roles: Iterable[StaffRole] = (),
        principal: Principal | None,
        request_key: RequestKey | None = None,
    ) -> tuple[Login, AccountMail]:
        """Let somebody sign in at the console, once they have chosen a password by the account mail's link.

        If no roles are named, the first of the staff has every one of them, and all others are support. The account
        counts as those who added it until another person confirms it; one that the command line adds is a person of
        its own at once.

        Raises:
            InvalidInput: this is no address or name.
            Conflict: the address is there already.
        """
        ensure_may(principal, Operation.MANAGE_STAFF)
        address = inputs.email("email", email)
        now = self._clock.now()
        checked = inputs.name("name", name)
        given = together(roles)
        if not given:
            given = StaffRole.SUPPORT if await self.list() else EVERY_ROLE
        login = Login(self._id_generator.next(), Realm.SUPPORT, address, checked, now, roles=given)
        account_mail = self._sign_in.account_mail(Purpose.INVITATION, login, merchant_id=None)
        words = f"{login.name} as {roles_in_words(given)}"
        audit_entry = audit_entry_by(principal, now, Action.ADD_STAFF, subject=address, detail=words)
        with translated(conflict=f"{address} is support staff already"):
            await self._stores.logins.invite(
                login,
                account_mail,
                maker=maker_of(principal),
                is_staff_told=not self._limits.are_none,
                audit_entry=audit_entry,
                repeat=repeat_of(request_key, login.login_id, now),
            )
        return await self._find(address), account_mail

    async def confirm(self, email: str, *, principal: Principal | None, request_key: RequestKey | None = None) -> Login:
        """Say that an account is a person of its own: another person than it counts as does, or the command line.

        Raises:
            InvalidInput: they are not support staff.
            Conflict: the account is closed, or a person of its own already.
            NeedsAnotherPerson: who asks counts as the same person.
        """
        ensure_may(principal, Operation.CONFIRM_STAFF)
        login = await self._find(email)
        now = self._clock.now()
        audit_entry = audit_entry_by(principal, now, Action.CONFIRM_STAFF, subject=login.email, detail=login.name)
        with translated():
            try:
                await self._stores.logins.confirm(
                    login.login_id,
                    maker=maker_of(principal),
                    audit_entry=audit_entry,
                    repeat=repeat_of(request_key, login.login_id, now),
                )
            except LoginClosed as error:
                raise Conflict(f"{login.email} is closed; open it first") from error
            except AlreadySo as error:
                raise Conflict(f"{login.email} is a person of its own already") from error
            except SamePerson as error:
                raise NeedsAnotherPerson(
                    f"You count as a person whom {login.email} counts as, or it is unknown whom; another person "
                    "confirms it, or the command line does"
                ) from error
        return await self._find(email)

    async def assign_key(self, key_id: int, email: str | None, *, principal: Principal | None) -> ApiKey:
        """Say whose a service's or support's key is: a staff account's, or with None the operator's command line's.

        It belongs on the command line, whose word it is; elsewhere anybody could make a key somebody else's.

        Raises:
            InvalidInput: there is no such staff account, or the key is a merchant's.
            Missing: no such key.
        """
        login = None if email is None else await self._find(email)
        people = frozenset({COMMAND_LINE}) if login is None else account_people(login.login_id, login.counts_as)
        subject = ids.public_id(ids.KEY, key_id)
        missing = f"no key has the id {subject}"
        with translated(missing=missing):
            key = await self._stores.api_keys.find(key_id)
            if key is None:
                raise Missing(missing)
            if key.merchant_id is not None:
                raise InvalidInput("KEY_ID", "this key is a merchant's; it approves nothing, so it is nobody's")
            words = f"{key.hint} {key.name} to {email or 'the command line'}"
            audit_entry = audit_entry_by(principal, self._clock.now(), Action.ASSIGN_KEY, subject=subject, detail=words)
            await self._stores.api_keys.assign(key_id, people, audit_entry)
        return replace(key, people=write_people(people))

    async def invite_again(
        self, email: str, *, principal: Principal | None, request_key: RequestKey | None = None
    ) -> AccountMail:
        """Mail a support person once more how to sign in.

        Raises:
            InvalidInput: they are not support staff, or no longer, or had too many account mails lately.
        """
        ensure_may(principal, Operation.MANAGE_STAFF)
        login = await self._find(email)
        if login.disabled_at is not None:
            raise InvalidInput("email", f"{login.email} is closed; open it first")
        await self._sign_in.ensure_may_mail(login)
        account_mail = self._sign_in.account_mail(Purpose.INVITATION, login, merchant_id=None)
        now = self._clock.now()
        audit_entry = audit_entry_by(principal, now, Action.INVITE_STAFF, subject=login.email)
        repeat = repeat_of(request_key, account_mail.account_mail_id, now)
        with translated():
            await self._stores.account_mails.add(account_mail, None, audit_entry, repeat)
        return account_mail

    async def list(self) -> Sequence[Login]:
        """List support staff by address, those who may no longer sign in included."""
        with translated():
            return await self._stores.logins.list(Realm.SUPPORT)

    async def close(self, email: str, *, principal: Principal | None, request_key: RequestKey | None = None) -> None:
        """Let somebody sign in no more, and sign them out.

        Raises:
            InvalidInput: they are not support staff.
            Conflict: they are closed already, it is they who ask, or no administrator would be left.
        """
        await self._set_closed(email, self._clock.now(), Action.CLOSE_STAFF, principal, request_key)

    async def reopen(self, email: str, *, principal: Principal | None, request_key: RequestKey | None = None) -> None:
        """Let somebody sign in again.

        Raises:
            InvalidInput: they are not support staff.
            Conflict: they are open already.
        """
        await self._set_closed(email, None, Action.REOPEN_STAFF, principal, request_key)

    async def set_roles(self, email: str, roles: Iterable[StaffRole], *, principal: Principal | None) -> Login:
        """Change what somebody may do, from their next click on.

        Raises:
            InvalidInput: they are not support staff, or no role is named.
            Conflict: it is their own, they have just these, somebody else changes them at this moment, or no
                administrator would be left.
        """
        ensure_may(principal, Operation.MANAGE_STAFF)
        given = together(roles)
        if not given:
            raise InvalidInput("role", f"choose at least one role: {', '.join(STAFF_ROLES)}")
        login = await self._find(email)
        _ensure_other(login, principal, "change your own roles")
        words = f"from {roles_in_words(login.roles)} to {roles_in_words(given)}"
        audit_entry = audit_entry_by(
            principal, self._clock.now(), Action.SET_STAFF_ROLES, subject=login.email, detail=words
        )
        with translated(), _administrator_left():
            try:
                await self._stores.logins.set_roles(login.login_id, given, audit_entry, before=login.roles)
            except AlreadySo as error:
                raise Conflict(f"{login.email} is {roles_in_words(given)} already") from error
            except ChangedMeanwhile as error:
                raise Conflict(f"Somebody else has just changed what {login.email} may do; look again") from error
        return replace(login, roles=given)

    async def disable_two_factor(
        self, email: str, *, principal: Principal | None, request_key: RequestKey | None = None
    ) -> None:
        """Ask somebody who lost their authenticator for no one-time codes any more.

        Raises:
            InvalidInput: they are not support staff.
            Conflict: they are asked for none.
        """
        ensure_may(principal, Operation.MANAGE_STAFF)
        login = await self._find(email)
        now = self._clock.now()
        audit_entry = audit_entry_by(principal, now, Action.DISABLE_TWO_FACTOR, subject=login.email)
        repeat = repeat_of(request_key, login.login_id, now)
        with translated():
            try:
                await self._stores.logins.remove_totp_seed(login.login_id, audit_entry, repeat)
            except AlreadySo as error:
                raise Conflict(f"{login.email} is asked for no one-time codes; there was nothing to remove") from error

    async def _set_closed(
        self,
        email: str,
        at: int | None,
        action: Action,
        principal: Principal | None,
        request_key: RequestKey | None,
    ) -> None:
        ensure_may(principal, Operation.MANAGE_STAFF)
        login = await self._find(email)
        _ensure_other(login, principal, "close your own way in")
        now = self._clock.now()
        audit_entry = audit_entry_by(principal, now, action, subject=login.email)
        repeat = repeat_of(request_key, login.login_id, now)
        with translated(), _administrator_left():
            try:
                await self._stores.logins.set_disabled(login.login_id, at, audit_entry, repeat)
            except AlreadySo as error:
                raise Conflict(f"{login.email} is {'closed' if at else 'open'} already") from error

    async def _find(self, email: str) -> Login:
        address = inputs.email("email", email)
        with translated():
            login = await self._stores.logins.find(Realm.SUPPORT, address)
        if login is None:
            raise InvalidInput("email", f"{address} is not support staff")
        return login


def _ensure_other(login: Login, principal: Principal | None, action: str) -> None:
    """Go on if somebody of the staff asks for this about somebody else.

    Raises:
        Conflict: it is about themselves.
    """
    if principal is not None and principal.name == login.email:
        raise Conflict(f"You can't {action}; ask another administrator")


@contextmanager
def _administrator_left() -> Iterator[None]:
    try:
        yield
    except LastAdministrator as error:
        raise Conflict(_LAST_ADMINISTRATOR) from error
