"""The service's parts about people, over an empty SQLite ledger and a clock that tests hold."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pyotp
from argon2 import PasswordHasher

from farebox.core.staff_roles import EVERY_ROLE, NO_ROLE
from farebox.service.people.passwords import Passwords
from farebox.service.people.sign_in import SignedIn, SignIn
from farebox.service.people.signing import Signer
from farebox.service.people.users import Staff, Users
from farebox.storage.records import Login, Realm
from farebox.storage.sqlite import SqliteConnector
from farebox.storage.stores import Stores
from tests.support.ledger import NOW, HeldClock
from tests.support.originals import copy_ledger

ANN: Final = "ann@northwind.example"
PASSWORD: Final = "seven quiet lanterns"


class CountedPasswords(Passwords):
    """Counts what is hashed and checked: a thing that takes long for some only would tell who they are."""

    def __init__(self) -> None:
        super().__init__()
        # Hashes of tests need not withstand anybody.
        self._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        self.checks: list[bool] = []
        """For each check, whether there was a hash to check against."""

    async def is_right(self, password_hash: str | None, password: str) -> bool:
        self.checks.append(password_hash is not None)
        return await super().is_right(password_hash, password)


@dataclass(frozen=True)
class PeopleParts:
    """The parts."""

    stores: Stores
    passwords: CountedPasswords
    signer: Signer = field(default_factory=lambda: Signer("the operator's own key"))
    clock: HeldClock = field(default_factory=HeldClock)
    reset_seconds: float = 0.0

    @cached_property
    def sign_in(self) -> SignIn:
        return SignIn(self.stores, self.clock, self.signer, self.passwords, reset_seconds=self.reset_seconds)

    @cached_property
    def users(self) -> Users:
        return Users(self.stores, self.clock, self.sign_in)

    @cached_property
    def staff(self) -> Staff:
        return Staff(self.stores, self.clock, self.sign_in)

    async def add(self, email: str = ANN, *, realm: Realm = Realm.MERCHANT, **fields: Any) -> Login:
        """Add somebody with PASSWORD."""
        number = (
            len(await self.stores.logins.list(Realm.MERCHANT)) + len(await self.stores.logins.list(Realm.SUPPORT)) + 1
        )
        roles = EVERY_ROLE if realm == Realm.SUPPORT else NO_ROLE
        known = {"password_hash": await self.passwords.hash(PASSWORD), "roles": roles, **fields}
        login = Login(number, realm, email, email, NOW, **known)
        await self.stores.logins.add(login)
        return login

    async def enter(
        self, email: str = ANN, password: str = PASSWORD, *, code: str = "", realm: Realm = Realm.MERCHANT
    ) -> SignedIn:
        """Sign in at a client."""
        return await self.sign_in.sign_in(
            realm, email=email, password=password, code=code, address="203.0.113.7", agent="a test"
        )

    def code(self, seed: bytes, steps: int = 0) -> str:
        """Make the code of a seed, as an authenticator does, so many steps from now."""
        return pyotp.TOTP(self.signer.code_secret(seed)).at(self.clock.now() // 1_000_000 + 30 * steps)


@asynccontextmanager
async def open_people_parts(folder: Path) -> AsyncIterator[PeopleParts]:
    """Open the parts over a new ledger."""
    stores = Stores.over(SqliteConnector(copy_ledger(folder / "farebox.db")))
    await stores.connector.open()
    passwords = CountedPasswords()
    yield PeopleParts(stores, passwords)
    passwords.close()
    await stores.connector.close()
