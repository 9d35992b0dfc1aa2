"""Hashes of passwords by Argon2id (RFC 9106), made away from the event loop."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final, TypeVar

from farebox.service.errors import Overloaded
from farebox.service.people.password_strength import check_strength

if TYPE_CHECKING:
    from argon2 import PasswordHasher

HASHING_MAX: Final = 1
"""How many hashes are made at once: each takes MEMORY_KIB and a core for tens of milliseconds."""

WAITING_MAX: Final = 50
"""How many hashes may wait to be made, some seconds' worth; one more is refused."""

MEMORY_KIB: Final = 19 * 1024
PASSES: Final = 2
"""One lane. OWASP's Password Storage Cheat Sheet has these as the least for Argon2id."""

_Result = TypeVar("_Result")


class Passwords:
    """Hashes passwords and checks them."""

    def __init__(self) -> None:
        """Prepare; the thread starts when it is needed."""
        self._threads = ThreadPoolExecutor(HASHING_MAX, thread_name_prefix="farebox-password")
        # The hash that is checked for an address without login, so that it takes as long as one with a login.
        self._hash_of_nobody: str | None = None
        self._waiting_count = 0

    async def hash(self, password: str) -> str:
        """Hash a password.

        Raises:
            Overloaded: too many wait already.
        """
        return await self._run(self._make, password)

    async def hash_new(self, field: str, password: str, *, email: str, name: str) -> str:
        """Hash a password that somebody chooses, if it is one to choose; see `check_strength`.

        Raises:
            InvalidInput: it is not; the message says what would be right.
            Overloaded: too many wait already.
        """
        return await self._run(partial(self._make_new, field, password, email=email, name=name))

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

    def _make_new(self, field: str, password: str, *, email: str, name: str) -> str:
        check_strength(field, password, email=email, name=name)
        return self._make(password)

    def _make(self, password: str) -> str:
        return self._hasher.hash(_normal(password))

    def _check(self, password_hash: str | None, password: str) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        if self._hash_of_nobody is None:
            self._hash_of_nobody = self._hasher.hash("")
        try:
            self._hasher.verify(password_hash or self._hash_of_nobody, _normal(password))
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
