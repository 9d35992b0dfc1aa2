"""What 0006_mailboxes does that SQL can't: it finds the addresses that reach one mailbox, and makes one person of each.

On a merchant's account one user is left of several, with the highest role and the earliest registration. Of several
logins one is left. A duplicate without a password goes, and the links that it was mailed with it to the one that stays.
A duplicate with a password of its own is set aside: it stays in the database, closed, without a mailbox. Those
who know its password ask for a link to a new one, which goes to the same mailbox. The audit log names all of it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any, Final, TypeVar

from msgspec import Struct

from farebox.core.audit_log import Action
from farebox.core.people import read_people, write_people
from farebox.storage.mailboxes import mailbox_of
from farebox.storage.migrate import DataStep, Write
from farebox.storage.records import Realm, Role

ACTOR: Final = "farebox init"
"""Who the audit log says has done it."""

_USERS: Final = "SELECT merchant_id, user_id, email, created_at, role FROM merchant_user"
_LOGINS: Final = """
SELECT login_id, realm, email, created_at, roles, signed_in_at, disabled_at, password_hash IS NOT NULL,
    totp_seed IS NOT NULL
FROM login
"""
_WITHDRAW_FROM_TOLD: Final = """
UPDATE outbox SET state = 4, last_error = 'its user was told at another address of the same mailbox'
WHERE merchant_id = $1 AND user_id = $2 AND state = 1 AND EXISTS (
    SELECT 1 FROM outbox o WHERE o.merchant_id = outbox.merchant_id AND o.alert_number = outbox.alert_number
        AND o.user_id = $3 AND o.state = 2
)
"""
_WITHDRAW_SECOND: Final = """
UPDATE outbox SET state = 4, last_error = 'its user is told at another address of the same mailbox'
WHERE merchant_id = $1 AND user_id = $2 AND state = 1 AND EXISTS (
    SELECT 1 FROM outbox o WHERE o.merchant_id = outbox.merchant_id AND o.alert_number = outbox.alert_number
        AND o.user_id = $3
)
"""
_NAME_KEYS_PEOPLE: Final = "UPDATE staff_key SET people = $1 WHERE digest = $2"
_NAME_REQUESTS_PEOPLE: Final = "UPDATE approval SET requested_people = $1 WHERE merchant_id = $2 AND number = $3"
_NAME_COUNTED: Final = "UPDATE login SET counts_as = $1 WHERE login_id = $2"
_ROLE_WORDS: Final = {Role.OWNER: "owner", Role.MEMBER: "member", Role.VIEWER: "viewer"}
_REALM_WORDS: Final = {Realm.MERCHANT: "on the dashboard", Realm.SUPPORT: "at the console"}
_ASCII_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_NO_MERCHANT: Final = 0
_Row = TypeVar("_Row")


class _User(Struct, frozen=True):
    merchant_id: int
    user_id: int
    email: str
    created_at: int
    role: int


class _Login(Struct, frozen=True):
    login_id: int
    realm: int
    email: str
    created_at: int
    roles: int
    signed_in_at: int | None
    disabled_at: int | None
    has_password: bool
    has_codes: bool

    @property
    def rank(self) -> tuple[Any, ...]:
        """Of several logins the one stays that is open, has a password, asks for codes, and was used last."""
        is_open = self.disabled_at is None
        used = (self.signed_in_at or 0, -self.created_at, -self.login_id)
        return (is_open, self.has_password, self.has_codes, *used)


def _plan(tables: Sequence[Sequence[Sequence[Any]]], now: int) -> Iterator[Write]:
    """Make the statements; the column `mailbox` has the address in lower case already, as far as that is ASCII."""
    entry_ids = iter(range(1, 1 << 62))
    users = [_User(*row) for row in tables[0]]
    logins = [_Login(*row) for row in tables[1]]
    for user in users:
        if mailbox_of(user.email) != user.email.translate(_ASCII_LOWER):
            values = (user.merchant_id, user.user_id, mailbox_of(user.email))
            yield "UPDATE merchant_user SET mailbox = $3 WHERE merchant_id = $1 AND user_id = $2", values
    for login in logins:
        if mailbox_of(login.email) != login.email.translate(_ASCII_LOWER):
            yield "UPDATE login SET mailbox = $2 WHERE login_id = $1", (login.login_id, mailbox_of(login.email))
    for users_of_one in _several(users, lambda user: (user.merchant_id, mailbox_of(user.email))):
        yield from _merge_users(users_of_one, now, next(entry_ids))
    one_person: dict[int, int] = {}
    for logins_of_one in _several(logins, lambda login: (login.realm, mailbox_of(login.email))):
        kept = max(logins_of_one, key=lambda login: login.rank)
        yield from _merge_logins(kept, logins_of_one, now, entry_ids)
        one_person |= {login.login_id: kept.login_id for login in logins_of_one}
    yield from _name_one_person(one_person, *tables[2:])


def _name_one_person(one_person: Mapping[int, int], *tables: Sequence[Sequence[Any]]) -> Iterator[Write]:
    """Name the login that stays wherever people are named: one person does not approve what it asked for itself."""
    for statement, rows in zip((_NAME_KEYS_PEOPLE, _NAME_REQUESTS_PEOPLE, _NAME_COUNTED), tables, strict=True):
        for *key, text in rows:
            people = read_people(text)
            named = frozenset(one_person.get(number, number) for number in people)
            if statement is _NAME_COUNTED:
                named -= {one_person.get(key[0], key[0])}
            if named != people:
                yield statement, (write_people(named), *key)


def _several(rows: Sequence[_Row], key: Callable[[_Row], Any]) -> list[list[_Row]]:
    """Group rows by what they have in common; those that have it alone are left out."""
    groups = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return [group for group in groups.values() if len(group) > 1]


def _merge_users(users: Sequence[_User], now: int, entry_id: int) -> Iterator[Write]:
    kept, *others = sorted(users, key=lambda user: (user.created_at, user.user_id))
    merchant_id, role = kept.merchant_id, min(user.role for user in users)
    for user, other in permutations(users, 2):
        # A person who was told is not told again.
        yield _WITHDRAW_FROM_TOLD, (merchant_id, user.user_id, other.user_id)
    for user in others:
        told_or_owed = (merchant_id, user.user_id, kept.user_id)
        yield _WITHDRAW_SECOND, told_or_owed
        yield "UPDATE outbox SET user_id = $3 WHERE merchant_id = $1 AND user_id = $2 AND state = 1", told_or_owed
        yield "DELETE FROM merchant_user WHERE merchant_id = $1 AND user_id = $2", (merchant_id, user.user_id)
    yield (
        "UPDATE merchant_user SET role = $3 WHERE merchant_id = $1 AND user_id = $2",
        (merchant_id, kept.user_id, role),
    )
    merged = ", ".join(f"{user.email} ({_ROLE_WORDS[Role(user.role)]})" for user in others)
    detail = f"{merged}: one mailbox, one user, who is {_ROLE_WORDS[Role(role)]}"
    yield _entry(entry_id, merchant_id, now, Action.MERGE_USERS, kept.email, detail)


def _merge_logins(kept: _Login, logins: Sequence[_Login], now: int, entry_ids: Iterator[int]) -> Iterator[Write]:
    where = _REALM_WORDS[Realm(kept.realm)]
    roles = kept.roles
    for login in logins:
        if login is kept:
            continue
        if login.has_password:
            yield from _set_aside(login, now)
            detail = f"{login.email} has a password of its own and is closed {where}; a mailed link opens {kept.email}"
            yield _entry(next(entry_ids), _NO_MERCHANT, now, Action.SET_LOGIN_ASIDE, kept.email, detail)
            continue
        if login.disabled_at is None:
            roles |= login.roles
        moved = (login.login_id, kept.login_id)
        yield "UPDATE session SET login_id = $2 WHERE login_id = $1", moved
        yield "UPDATE letter SET login_id = $2 WHERE login_id = $1", moved
        yield "DELETE FROM login WHERE login_id = $1", (login.login_id,)
        detail = f"{login.email} had no password: one mailbox, one login {where}"
        yield _entry(next(entry_ids), _NO_MERCHANT, now, Action.MERGE_LOGINS, kept.email, detail)
    yield "UPDATE login SET roles = $2 WHERE login_id = $1", (kept.login_id, roles)


def _set_aside(login: _Login, now: int) -> Iterator[Write]:
    number = login.login_id
    yield "UPDATE login SET mailbox = NULL, disabled_at = coalesce(disabled_at, $2) WHERE login_id = $1", (number, now)
    yield "DELETE FROM session WHERE login_id = $1", (number,)
    yield "UPDATE letter SET used_at = $2 WHERE login_id = $1 AND used_at IS NULL", (number, now)
    reason = "the login was closed: another one has its mailbox"
    yield "UPDATE letter SET state = 3, last_error = $2 WHERE login_id = $1 AND state = 1", (number, reason)


def _entry(entry_id: int, merchant_id: int, now: int, action: Action, subject: str, detail: str) -> Write:
    return (
        "INSERT INTO audit_log (entry_id, merchant_id, at, person, action, subject, detail)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        (entry_id, merchant_id, now, ACTOR, action.value, subject, detail),
    )


MAILBOXES: Final = DataStep(
    reads=(
        _USERS,
        _LOGINS,
        "SELECT digest, people FROM staff_key",
        "SELECT merchant_id, number, requested_people FROM approval WHERE state = 1",
        "SELECT login_id, counts_as FROM login",
    ),
    plan=_plan,
)
