"""API keys: how they are made, read and digested. The text of a key is shown once and stored nowhere.

A key is a prefix that tells its kind, for a merchant's key the 13 characters of the merchant's number (so that its
look-up can be routed to the merchant's shard), and 26 characters of randomness, 130 bits. Only the digest,
BLAKE2b-256, is kept: with that much randomness there is nothing to guess, so a slow password hash would add cost and
no safety.

A merchant may have keys as well that another system gave out, of which an import knows the SHA-256 digest alone. Their
text names no merchant: ImportedKeys looks whose they are. See docs/decisions/0048-imports.md.
"""

import re
import secrets
from hashlib import blake2b, sha256
from typing import Final

from msgspec import Struct

from farebox.core import ids
from farebox.core.audit_log import Action, AuditEntry, audit_entry
from farebox.core.commands import Actor, Caller, KeyKind, Payer
from farebox.core.permissions import USER_OPERATIONS, Operation, role_refusal
from farebox.core.staff_roles import NO_ROLE, StaffRole, roles_in_words
from farebox.service import parsing
from farebox.service.errors import Forbidden
from farebox.storage.records import COMMAND_LINE_MAKER, Maker

PREFIXES: Final = {KeyKind.MERCHANT: "fbm_", KeyKind.SERVICE: "fbs_", KeyKind.SUPPORT: "fbu_"}
_KINDS: Final = {prefix: kind for kind, prefix in PREFIXES.items()}
_CHARS: Final = "[0-9A-HJKMNP-TV-Z]"
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SECRET_CHARS: Final = 26
_KEY: Final = re.compile(rf"(?:fbm_({_CHARS}{{13}})|fb[su]_){_CHARS}{{26}}", re.ASCII)
IMPORTED_CHARS_MIN: Final = 24
IMPORTED_CHARS_MAX: Final = 255
_IMPORTED: Final = re.compile(
    rf"(?!fb[a-z]_|{ids.MERCHANT})[A-Za-z0-9][A-Za-z0-9._~+/=-]{{{IMPORTED_CHARS_MIN - 1},{IMPORTED_CHARS_MAX - 1}}}",
    re.ASCII,
)
"""As long as 128 random bits are, written in base64 behind a prefix of two characters. A shorter one was made up by
somebody, and could be found out from its digest."""

_IMPORTED_PERSON: Final = b"sha256 of a key"
"""Keeps digests of imported keys apart from those of Farebox's own."""

_DIGEST_BYTES: Final = 32
_HINT_CHARS: Final = 4
_ENTRY_BITS: Final = 63


class ParsedKey(Struct, frozen=True, gc=False):
    """A well-formed key: its kind, the merchant its text names (for a merchant's key) and its digest.

    With `is_imported` and no merchant it opens nothing until ImportedKeys has told whose it is.
    """

    kind: KeyKind
    merchant_id: int | None
    digest: bytes
    is_imported: bool = False

    @property
    def caller(self) -> Caller:
        """The key as a command's caller."""
        return Caller(self.digest, self.merchant_id)


class Principal(Struct, frozen=True):
    """Somebody who does something by hand: one of the staff, a support key, a merchant's user, or the operator's shell.

    `name` is the key's name, the address that somebody signed in with, or "shell:" and the name of the system's user;
    `address` is where the request came from.
    """

    name: str
    caller: Caller | None = None
    key_id: int | None = None
    address: str | None = None
    roles: StaffRole | None = None
    """What staff or their key may do; None of a merchant's user, whom the account's pages let in by a role there."""

    login_id: int | None = None
    """The account that is signed in; None for a key and for the shell."""

    def may(self, operation: Operation) -> bool:
        """Tell whether this principal may do something."""
        return operation in USER_OPERATIONS if self.roles is None else role_refusal(operation, self.roles) is None

    def ensure_may(self, operation: Operation) -> None:
        """Go on if this principal may do something.

        Raises:
            Forbidden: the message names the role that is needed.
        """
        if not self.may(operation):
            raise Forbidden(role_refusal(operation, self.roles or NO_ROLE))

    def ensure_has(self, roles: StaffRole) -> None:
        """Go on if a key of these roles would do nothing that this principal may not do itself.

        Raises:
            Forbidden: it would; the message names the roles.
        """
        lacking = roles & ~((self.roles or NO_ROLE) | StaffRole.VIEWER)
        if lacking:
            raise Forbidden(
                f"A key does no more than who makes it may do: making one of the role {roles_in_words(roles)} needs "
                f"that role; yours is {roles_in_words(self.roles or NO_ROLE)}"
            )

    def actor(self) -> Actor:
        """Make what the audit log says of one action of this principal."""
        return Actor(secrets.randbits(_ENTRY_BITS), self.name, self.key_id, self.address, self.login_id)


def ensure_may(principal: Principal | None, operation: Operation) -> None:
    """Go on if a principal may do this, or if it is Farebox itself that does.

    Raises:
        Forbidden: they may not.
    """
    if principal is not None:
        principal.ensure_may(operation)


def audit_entry_by(
    principal: Principal | None,
    at: int,
    action: Action,
    *,
    merchant_id: int | None = None,
    subject: str | None = None,
    detail: str = "",
) -> AuditEntry | None:
    """Make the entry of what a principal does; None for Farebox itself, which the audit log does not tell of."""
    if principal is None:
        return None
    return audit_entry(principal.actor(), merchant_id=merchant_id, at=at, action=action, subject=subject, detail=detail)


def maker_of(principal: Principal | None) -> Maker:
    """Tell who makes a key or invites somebody; without a principal it is done on the operator's own machine."""
    if principal is None:
        return COMMAND_LINE_MAKER
    return Maker(principal.login_id, None if principal.caller is None else principal.caller.digest)


def digest(text: str) -> bytes:
    """Digest a key's text, as it is stored."""
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


def imported_digest(sha256_digest: bytes) -> bytes:
    """Digest the SHA-256 digest of a key that another system gave out, as it is stored."""
    return blake2b(sha256_digest, digest_size=_DIGEST_BYTES, person=_IMPORTED_PERSON).digest()


def make_key(kind: KeyKind, merchant_id: int | None = None) -> str:
    """Make a new key's text; `merchant_id` for a merchant's key alone."""
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARS))
    middle = "" if merchant_id is None else ids.encode_number(merchant_id)
    return f"{PREFIXES[kind]}{middle}{secret}"


def parse_key(text: str) -> ParsedKey | None:
    """Read a key's kind and merchant out of its text; None if it is neither of Farebox's making nor of an import."""
    match = _KEY.fullmatch(text)
    if match is None:
        if _IMPORTED.fullmatch(text) is None:
            return None
        return ParsedKey(KeyKind.MERCHANT, None, imported_digest(sha256(text.encode()).digest()), is_imported=True)
    number = match.group(1)
    merchant_id = None
    if number is not None:
        try:
            merchant_id = parsing.decode_number(number)
        except parsing.InvalidId:
            return None
    return ParsedKey(_KINDS[text[:4]], merchant_id, digest(text))


def parse_payer(text: str) -> Payer | None:
    """Read whom a charge is for, named by id or by API key; None if it can be neither, or if the key is an import's."""
    if not text.startswith(ids.MERCHANT):
        key = parse_key(text)
        return None if key is None or key.merchant_id is None else Payer(key.merchant_id, key.digest)
    try:
        return Payer(parsing.parse_public_id(ids.MERCHANT, text))
    except parsing.InvalidId:
        return None


def hint(text: str) -> str:
    """Show a key's prefix and last characters, by which a person tells it from others."""
    return f"{text[:4]}…{text[-_HINT_CHARS:]}"
