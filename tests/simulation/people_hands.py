"""What each of some people has in their hands: accounts, and keys of their own making.

Ann, Ben, Cleo and the one at the command line are people of flesh and blood. Each uses all that is in their hands: the
account that somebody else added for them, accounts that they added under other names, keys that they made with any of
these. They are honest in one thing: nobody adds or confirms an account for somebody else who has one already.
"""

from collections import Counter
from collections.abc import Awaitable, Sequence
from random import Random
from typing import Final

from farebox.bootstrap import Farebox
from farebox.core.approvals import ApprovalState
from farebox.core.commands import KeyKind
from farebox.core.outcomes import Code, Outcome
from farebox.core.staff_roles import EVERY_ROLE, NO_ROLE, StaffRole
from farebox.service.errors import Conflict, Forbidden, InvalidInput, InvalidKey, NeedsAnotherPerson
from farebox.service.operator.merchants import NewKey
from farebox.service.people.api_keys import Principal, parse_key
from farebox.storage.records import Realm
from tests.simulation.people_model import SHELL, PeopleModel

ROOT: Final = "root"
HUMANS: Final = (ROOT, "ann", "ben", "cleo")
_ROLES: Final = (StaffRole.SUPPORT, StaffRole.ADMINISTRATOR, EVERY_ROLE, EVERY_ROLE, EVERY_ROLE, StaffRole.VIEWER)


class HandsStory:
    """The part of a story in which accounts and keys are made, given and ended, each answer held against the model."""

    def __init__(self, seed: int, fareboxes: Sequence[Farebox], model: PeopleModel) -> None:
        self._seed = seed
        self._random = Random(seed)
        self._fareboxes = fareboxes
        self._model = model
        self._hands: dict[str, list[str]] = {human: [] for human in HUMANS}
        self._owners: dict[str, str] = {}
        self._true_accounts: set[str] = set()
        """Those that were added for somebody else, who had none."""
        self._logins: dict[str, int] = {}
        self._texts: dict[str, str] = {}
        self._key_ids: dict[str, int] = {}
        self._services: list[tuple[str, str]] = []
        """Keys of services, by whose hand each is in."""
        self._count = 0
        self._action = ""
        self.tally: Counter[tuple[str, str]] = Counter()
        """What each action came to, and how often."""

    @property
    def _farebox(self) -> Farebox:
        return self._random.choice(self._fareboxes)

    async def _principal(self, handle: str) -> Principal | None:
        """Make what a request with this handle comes as; None if it opens nothing any more."""
        farebox = self._farebox
        if handle == SHELL:
            return Principal("shell:root", roles=EVERY_ROLE)
        if handle in self._logins:
            login = await farebox.stores.logins.get(self._logins[handle])
            assert login is not None
            is_open = login.disabled_at is None
            return Principal(login.email, roles=StaffRole(login.roles), login_id=login.login_id) if is_open else None
        key = parse_key(self._texts[handle])
        assert key is not None
        try:
            record = await farebox.services.queries.authorize(key, frozenset({KeyKind.SUPPORT}))
        except InvalidKey:
            return None
        return Principal(record.name or "", key.caller, record.key_id, roles=StaffRole(record.roles))

    async def _word(self, work: Awaitable[object]) -> str:
        """Do something, and say in a word what it came to."""
        try:
            word = word_of(await work)
        except Forbidden:
            word = "forbidden"
        except NeedsAnotherPerson:
            word = Code.APPROVAL_NEEDS_ANOTHER_PERSON
        except Conflict:
            word = "conflict"
        except InvalidInput:
            word = "invalid"
        self.tally[self._action, word] += 1
        return word

    def _name(self) -> str:
        self._count += 1
        return f"s{self._seed}-{self._count}"

    def _drop(self, key: str) -> None:
        """Forget a key that was ended."""
        self._texts.pop(key)
        for handles in self._hands.values():
            if key in handles:
                handles.remove(key)
        self._services = [pair for pair in self._services if pair[1] != key]

    async def _invite(self, human: str, handle: str, principal: Principal) -> None:
        """Add an account for somebody who has none, or another one for oneself; at the command line all are honest."""
        newcomers = [other for other in HUMANS if not self._hands[other]]
        owners = newcomers if human == ROOT else [*newcomers, human]
        if owners:
            await self._add_account(handle, principal, self._random.choice(owners), self._random.choice(_ROLES))

    async def _add_account(self, handle: str, principal: Principal, owner: str, roles: StaffRole) -> None:
        account, staff = self._name(), self._farebox.services.staff
        email = f"{account}@farebox.example"
        word = await self._word(staff.add(email, owner, roles=[roles], principal=principal))
        assert word == ("made" if roles_of(principal) & StaffRole.ADMINISTRATOR else "forbidden")
        if word == "made":
            self._model.note_made(account, handle, is_key=False)
            login = await self._farebox.stores.logins.find(Realm.SUPPORT, email)
            assert login is not None
            self._logins[account] = login.login_id
            self._owners[account] = owner
            if not self._hands[owner]:
                self._true_accounts.add(account)
            self._hands[owner].append(account)

    async def _confirm(self, human: str, handle: str, principal: Principal) -> None:
        account = self._random.choice(list(self._logins))
        if account not in self._true_accounts and human != self._owners[account]:
            return
        login = await self._farebox.stores.logins.get(self._logins[account])
        assert login is not None
        expected = "made"
        if not roles_of(principal) & EVERY_ROLE:
            expected = "forbidden"
        elif login.disabled_at is not None or not self._model.is_to_be_confirmed(account):
            expected = "conflict"
        elif not self._model.may_confirm(handle, account):
            expected = Code.APPROVAL_NEEDS_ANOTHER_PERSON
        word = await self._word(self._farebox.services.staff.confirm(login.email, principal=principal))
        assert expected == word, (account, handle)
        if word == "made":
            self._model.note_confirmed(account)

    async def _make_key(self, human: str, handle: str, principal: Principal) -> None:
        is_service = self._random.random() < 0.25
        role = self._random.choice(_ROLES)
        made: list[NewKey] = []

        async def make() -> None:
            kind = KeyKind.SERVICE if is_service else KeyKind.SUPPORT
            roles = [] if is_service else [role]
            merchants = self._farebox.services.merchants
            made.append(await merchants.create_key(kind, name=self._name(), roles=roles, principal=principal))

        word = await self._word(make())
        has_roles = is_service or not role & ~(roles_of(principal) | StaffRole.VIEWER)
        assert word == ("made" if roles_of(principal) & StaffRole.ADMINISTRATOR and has_roles else "forbidden")
        if word == "made":
            self._hand_over(made[0], human, handle, is_service=is_service)

    async def _rotate_key(self, human: str, handle: str, principal: Principal) -> None:
        old = self._random.choice(list(self._texts))
        is_service = any(key == old for _, key in self._services)
        holders = [owner for owner, key in self._services if key == old]
        holders += [owner for owner, handles in self._hands.items() if old in handles]
        made: list[NewKey] = []

        async def rotate() -> None:
            merchants = self._farebox.services.merchants
            made.append(await merchants.rotate_key(self._key_ids[old], overlap_seconds=0, principal=principal))

        if await self._word(rotate()) == "made":
            self._drop(old)
            owner = holders[0] if handle == SHELL else human
            self._hand_over(made[0], owner, handle, is_service=is_service, successor_of=old)

    async def _revoke_key(self, principal: Principal) -> None:
        key = self._random.choice(list(self._texts))
        merchants = self._farebox.services.merchants
        if await self._word(merchants.revoke_key(self._key_ids[key], principal=principal)) == "made":
            self._drop(key)

    def _hand_over(
        self, made: NewKey, owner: str, maker: str, *, is_service: bool, successor_of: str | None = None
    ) -> None:
        key = self._name()
        self._model.note_made(key, maker, is_key=True, successor_of=successor_of)
        self._texts[key], self._key_ids[key] = made.text, made.key.key_id
        if is_service:
            self._services.append((owner, key))
        else:
            self._hands[owner].append(key)

    async def _change_account(self, principal: Principal) -> None:
        random, staff = self._random, self._farebox.services.staff
        login = await self._farebox.stores.logins.get(self._logins[random.choice(list(self._logins))])
        assert login is not None
        if self._action == "change roles":
            await self._word(staff.set_roles(login.email, [random.choice(_ROLES)], principal=principal))
        else:
            await self._word(random.choice((staff.close, staff.reopen))(login.email, principal=principal))


def roles_of(principal: Principal) -> StaffRole:
    return principal.roles or NO_ROLE


def word_of(outcome: object) -> str:
    if not isinstance(outcome, Outcome):
        return "nothing" if outcome is False else "made"
    if not outcome.is_ok:
        return outcome.code
    if outcome.approval is None:
        return "made"
    return {ApprovalState.PENDING: "waits", ApprovalState.APPROVED: "approved"}.get(
        ApprovalState(outcome.approval.state), "rejected"
    )
