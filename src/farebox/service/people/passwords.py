"""Passwords: what one has to be, and its Argon2id hash (RFC 9106), made away from the event loop."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

from farebox.service.errors import InvalidInput, Overloaded

if TYPE_CHECKING:
    from argon2 import PasswordHasher

CHARS_MIN: Final = 10
CHARS_MAX: Final = 200
HASHING_MAX: Final = 1
"""How many hashes are made at once: each takes MEMORY_KIB and a core for tens of milliseconds."""

WAITING_MAX: Final = 50
"""How many hashes may wait to be made, some seconds' worth; whoever comes then is told so."""

MEMORY_KIB: Final = 19 * 1024
PASSES: Final = 2
"""One lane. OWASP's Password Storage Cheat Sheet has these as the least for Argon2id."""

_CHARS_APART_MIN: Final = 5
_COMMON: Final = ("password", "passwort", "1234567890", "qwertyuiop", "letmein", "farebox", "iloveyou", "welcome")

_Result = TypeVar("_Result")


class Passwords:
    """Hashes passwords and checks them."""

    def __init__(self) -> None:
        """Prepare; the thread starts when it is needed."""
        self._threads = ThreadPoolExecutor(HASHING_MAX, thread_name_prefix="farebox-password")
        # The hash that is checked for an address without login, so that it takes as long as one with a login.
        self._nobody: str | None = None
        self._waiting_count = 0

    async def hash(self, password: str) -> str:
        """Hash a password.

        Raises:
            Overloaded: too many wait already.
        """
        return await self._run(self._make, password)

    async def is_right(self, password_hash: str | None, password: str) -> bool:
        """Tell whether a password is the one that was hashed; no hash takes as long and is never right.

        Raises:
            Overloaded: too many wait already.
        """
        return await self._run(self._check, password_hash, password)

    def close(self) -> None:
        """End the thread."""
        self._threads.shutdown()

    @cached_property
    def _hasher(self) -> "PasswordHasher":
        from argon2 import PasswordHasher, Type

        return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1, type=Type.ID)

    def _make(self, password: str) -> str:
        return self._hasher.hash(_normal(password))

    def _check(self, password_hash: str | None, password: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        if self._nobody is None:
            self._nobody = self._hasher.hash("")
        try:
            self._hasher.verify(password_hash or self._nobody, _normal(password))
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None

    async def _run(self, work: Callable[..., _Result], *values: str | None) -> _Result:
        if self._waiting_count >= WAITING_MAX:
            raise Overloaded("Too many people sign in at this moment; try again shortly")
        self._waiting_count += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *values)
        finally:
            self._waiting_count -= 1


def _normal(password: str) -> str:
    """Write a password in one form, whichever a keyboard makes of an accented letter (RFC 8265, section 4.2.1)."""
    return unicodedata.normalize("NFC", password)


def checked(field: str, password: str, *, email: str) -> str:
    """Check that a password is one to choose: long, and not what anybody would try first.

    Raises:
        InvalidInput: saying what would be right.
    """
    if not CHARS_MIN <= len(password) <= CHARS_MAX:
        raise InvalidInput(field, f"A password has {CHARS_MIN} to {CHARS_MAX} characters")
    plain = password.casefold()
    if len(set(plain)) < _CHARS_APART_MIN:
        raise InvalidInput(field, f"Use at least {_CHARS_APART_MIN} different characters")
    name = email.partition("@")[0].casefold()
    if plain in email.casefold() or (name and name in plain and len(plain) - len(name) < CHARS_MIN // 2):
        raise InvalidInput(field, "A password that resembles your address is the first that others try")
    if any(word in plain and len(plain) - len(word) < CHARS_MIN // 2 for word in _COMMON):
        raise InvalidInput(field, "That is one of the passwords that others try first; add a few words of your own")
    return password
