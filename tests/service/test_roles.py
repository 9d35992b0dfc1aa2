"""Each operation of staff by each role: who may is told here once more, by hand, and every service holds to it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import Struct

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.core.permissions import ALLOWED_ROLES, OPERATION_WORDS, Operation
from farebox.core.staff_roles import EVERY_ROLE, NO_ROLE, StaffRole, together
from farebox.service import parsing
from farebox.service.catalogue.imports import ListImport
from farebox.service.errors import Conflict, Forbidden, InvalidInput
from farebox.service.operator.grants import GrantFields
from farebox.service.people.api_keys import Principal
from farebox.storage.destination_records import Channel
from farebox.storage.records import Login, Realm, Role
from farebox.web.schemas.spending import HoldRequest
from tests.support.destinations import NOWHERE, add_destinations
from tests.support.server import Seeds, open_farebox, seed

VIEWER, SUPPORT, ADMINISTRATOR = StaffRole.VIEWER, StaffRole.SUPPORT, StaffRole.ADMINISTRATOR
WHO: Final = {"viewer": VIEWER, "support": SUPPORT, "administrator": ADMINISTRATOR, "both": EVERY_ROLE}
MONEY, SETUP, EITHER = {"support", "both"}, {"administrator", "both"}, {"support", "administrator", "both"}


class Scene(Struct):
    """A ledger with something of everything, and who asks."""

    farebox: Farebox
    seeds: Seeds
    principal: Principal

    @property
    def merchant_id(self) -> int:
        return self.seeds.merchant_id

    async def fresh_key(self, kind: KeyKind = KeyKind.SERVICE) -> int:
        merchants = self.farebox.services.merchants
        if kind == KeyKind.MERCHANT:
            return (await merchants.create_key(kind, merchant_id=self.merchant_id)).key.key_id
        return (await merchants.create_key(kind, name="a program")).key.key_id

    async def approval(self) -> int:
        operations = self.farebox.services.operations
        await operations.top_up(self.merchant_id, amount="5000", reference="BIG", note=None, principal=None)
        (approval,) = await self.farebox.services.approvals.page(merchant_id=self.merchant_id, before=None, limit=1)
        return approval.approval_id


def _money(method: str, **fields: Any) -> Callable[[Scene], Awaitable[Any]]:
    return lambda scene: getattr(scene.farebox.services.operations, method)(
        scene.merchant_id, **fields, principal=scene.principal
    )


async def _refund(scene: Scene) -> None:
    await scene.farebox.services.operations.refund(
        ids.book_id(ids.TRANSFER, merchant_id=scene.merchant_id, seq=1),
        idempotency_key="refund-1",
        amount=None,
        reference=None,
        note=None,
        caller=None,
        principal=scene.principal,
    )


async def _reverse(scene: Scene) -> None:
    transfer = ids.book_id(ids.TRANSFER, merchant_id=scene.merchant_id, seq=1)
    await scene.farebox.services.operations.reverse_top_up(
        scene.merchant_id, transfer=transfer, amount=None, reference="R", reason="bounced", principal=scene.principal
    )


def _destination(method: str, **fields: Any) -> Callable[[Scene], Awaitable[Any]]:
    async def do(scene: Scene) -> None:
        there = await add_destinations(scene.farebox, scene.merchant_id)
        number = parsing.parse_public_id(ids.DESTINATION, there["operators"])
        destinations = scene.farebox.services.destinations
        await getattr(destinations, method)(await destinations.get(number), **fields, principal=scene.principal)

    return do


async def _choose(scene: Scene) -> None:
    user = await scene.farebox.services.merchants.add_user(scene.merchant_id, "zoe@northwind.example")
    await scene.farebox.services.choices.set_mailed(
        scene.merchant_id, user.email, ["balance.low"], principal=scene.principal
    )


def _decide(method: str) -> Callable[[Scene], Awaitable[Any]]:
    async def decide(scene: Scene) -> None:
        number = await scene.approval()
        await getattr(scene.farebox.services.approvals, method)(scene.merchant_id, number, principal=scene.principal)

    return decide


def _prices(method: str, *values: Any, **fields: Any) -> Callable[[Scene], Awaitable[Any]]:
    return lambda scene: getattr(scene.farebox.services.prices, method)(*values, **fields, principal=scene.principal)


def _merchants(method: str, *values: Any, **fields: Any) -> Callable[[Scene], Awaitable[Any]]:
    return lambda scene: getattr(scene.farebox.services.merchants, method)(*values, **fields, principal=scene.principal)


def _key(method: str, kind: KeyKind, *values: Any) -> Callable[[Scene], Awaitable[Any]]:
    async def on_key(scene: Scene) -> None:
        number = await scene.fresh_key(kind)
        await getattr(scene.farebox.services.merchants, method)(number, *values, principal=scene.principal)

    return on_key


def _users(method: str, *values: Any, **fields: Any) -> Callable[[Scene], Awaitable[Any]]:
    async def on_users(scene: Scene) -> None:
        if method != "invite":
            await scene.farebox.services.merchants.add_user(scene.merchant_id, "ann@northwind.example")
        users = scene.farebox.services.users
        await getattr(users, method)(scene.merchant_id, *values, **fields, principal=scene.principal)

    return on_users


def _staff(method: str, *values: Any, **fields: Any) -> Callable[[Scene], Awaitable[Any]]:
    async def on_staff(scene: Scene) -> None:
        staff = scene.farebox.services.staff
        login, _ = await staff.add("tess@farebox.example", "Tess", roles=[SUPPORT], principal=None)
        await scene.farebox.stores.logins.set_totp_seed(login.login_id, b"\1" * 32)
        if method == "reopen":
            await staff.close("tess@farebox.example", principal=None)
        await getattr(staff, method)(*values, **fields, principal=scene.principal)

    return on_staff


async def _give_credit(scene: Scene) -> Any:
    fields = GrantFields("5", "W-1", "trial")
    return await scene.farebox.services.grants.give(scene.merchant_id, fields, principal=scene.principal)


async def _end_grant(scene: Scene) -> Any:
    grant = ids.book_id(ids.GRANT, merchant_id=scene.merchant_id, seq=1)
    return await scene.farebox.services.grants.end(scene.merchant_id, grant, reason="r", principal=scene.principal)


def _on_hold(method: str) -> Callable[[Scene], Awaitable[Any]]:
    fields: dict[str, Any] = {"ttl_seconds": 3600}
    if method == "release":
        fields = {"idempotency_key": "release", "reference": None, "reason": "gone"}

    async def on_hold(scene: Scene) -> Any:
        merchant = ids.public_id(ids.MERCHANT, scene.merchant_id)
        operations = scene.farebox.services.operations
        held = await operations.hold(HoldRequest(merchant, "image", "hold"), caller=None)
        assert held.hold is not None, held
        return await getattr(operations, method)(held.hold.id, **fields, caller=None, principal=scene.principal)

    return on_hold


async def _confirm(scene: Scene) -> None:
    login = Login(7, Realm.SUPPORT, TESS, "Tess", scene.farebox.clock.now(), roles=SUPPORT, counts_as="5")
    await scene.farebox.stores.logins.add(login)
    await scene.farebox.services.staff.confirm(TESS, principal=scene.principal)


TESS: Final = "tess@farebox.example"
ANN: Final = "ann@northwind.example"
LATER: Final = "2100-01-01T00:00:00Z"
ACTIONS: Final[dict[str, tuple[Operation, set[str], Callable[[Scene], Awaitable[Any]]]]] = {
    "top up": (Operation.TOP_UP, MONEY, _money("top_up", amount="1", reference="R", note=None)),
    "adjust": (Operation.ADJUST, MONEY, _money("adjust", amount="-1", reference="R", reason="mistake")),
    "take a top-up back": (Operation.REVERSE_TOP_UP, MONEY, _reverse),
    "refund": (Operation.REFUND, MONEY, _refund),
    "give credit": (Operation.GIVE_CREDIT, MONEY, _give_credit),
    "end given credit": (Operation.GIVE_CREDIT, MONEY, _end_grant),
    "release a hold": (Operation.MANAGE_HOLDS, MONEY, _on_hold("release")),
    "extend a hold": (Operation.MANAGE_HOLDS, MONEY, _on_hold("extend")),
    "credit limit": (Operation.SET_CREDIT_LIMIT, MONEY, _money("set_credit_limit", amount="5")),
    "approve": (Operation.DECIDE_APPROVAL, MONEY, _decide("approve")),
    "reject": (Operation.DECIDE_APPROVAL, MONEY, _decide("reject")),
    "freeze": (Operation.FREEZE, EITHER, _money("set_frozen", is_frozen=True)),
    "close": (
        Operation.MANAGE_MERCHANTS,
        SETUP,
        lambda scene: scene.farebox.services.operations.set_closed(
            scene.merchant_id, is_closed=False, reason="came back", principal=scene.principal
        ),
    ),
    "tag": (
        Operation.ANNOTATE,
        EITHER,
        lambda scene: scene.farebox.services.annotations.set_tags(
            scene.merchant_id, ["vip"], principal=scene.principal
        ),
    ),
    "note": (
        Operation.ANNOTATE,
        EITHER,
        lambda scene: scene.farebox.services.annotations.note(scene.merchant_id, "late", principal=scene.principal),
    ),
    "thresholds": (Operation.SET_THRESHOLDS, SETUP, _money("set_thresholds", amounts=["5"])),
    "thresholds in days left": (
        Operation.SET_THRESHOLDS,
        SETUP,
        lambda scene: scene.farebox.services.runway_thresholds.set(scene.merchant_id, [7], principal=scene.principal),
    ),
    "add a merchant": (
        Operation.MANAGE_MERCHANTS,
        SETUP,
        _merchants("create", name="Acme", currency="USD", thresholds=[], credit_limit="0"),
    ),
    "add a merchant with credit": (
        Operation.SET_CREDIT_LIMIT,
        {"both"},
        _merchants("create", name="Acme", currency="USD", thresholds=[], credit_limit="5"),
    ),
    "rename a merchant": (
        Operation.MANAGE_MERCHANTS,
        SETUP,
        lambda scene: scene.farebox.services.merchants.rename(scene.merchant_id, "Acme", principal=scene.principal),
    ),
    "set a price": (Operation.SET_PRICE, SETUP, _prices("set", "image", "0.02")),
    "import prices": (
        Operation.SET_PRICE,
        SETUP,
        lambda scene: scene.farebox.services.price_imports.make(
            ListImport(data=b'{"image": {"unitPrice": "0.02"}}'), principal=scene.principal
        ),
    ),
    "make a service's key": (
        Operation.MANAGE_KEYS,
        SETUP,
        _merchants("create_key", KeyKind.SERVICE, name="geo"),
    ),
    "make a support key": (Operation.MANAGE_KEYS, SETUP, _merchants("create_key", KeyKind.SUPPORT, name="till")),
    "make a merchant's key": (
        Operation.MANAGE_MERCHANT_KEYS,
        SETUP,
        lambda scene: scene.farebox.services.merchants.create_key(
            KeyKind.MERCHANT, merchant_id=scene.merchant_id, principal=scene.principal
        ),
    ),
    "revoke a key": (Operation.MANAGE_KEYS, SETUP, _key("revoke_key", KeyKind.SERVICE)),
    "end a key": (Operation.MANAGE_KEYS, SETUP, _key("expire_key", KeyKind.SERVICE, LATER)),
    "rotate a key": (Operation.MANAGE_KEYS, SETUP, _key("rotate_key", KeyKind.SERVICE)),
    "revoke a merchant's key": (Operation.MANAGE_MERCHANT_KEYS, SETUP, _key("revoke_key", KeyKind.MERCHANT)),
    "suspend a merchant's key": (Operation.SUSPEND_MERCHANT_KEY, EITHER, _key("suspend_key", KeyKind.MERCHANT)),
    "resume a merchant's key": (Operation.SUSPEND_MERCHANT_KEY, EITHER, _key("resume_key", KeyKind.MERCHANT)),
    "end a merchant's key": (Operation.MANAGE_MERCHANT_KEYS, SETUP, _key("expire_key", KeyKind.MERCHANT, LATER)),
    "rotate a merchant's key": (Operation.MANAGE_MERCHANT_KEYS, SETUP, _key("rotate_key", KeyKind.MERCHANT)),
    "add a webhook": (
        Operation.MANAGE_DESTINATIONS,
        SETUP,
        lambda scene: scene.farebox.services.destinations.add(
            scene.merchant_id, Channel.WEBHOOK, NOWHERE, types=["balance.low"], principal=scene.principal
        ),
    ),
    "change a webhook": (Operation.MANAGE_DESTINATIONS, SETUP, _destination("change", name="accounting")),
    "give a webhook another secret": (Operation.MANAGE_DESTINATIONS, SETUP, _destination("rotate_secret")),
    "turn a webhook off": (Operation.MANAGE_DESTINATIONS, SETUP, _destination("set_on", is_on=False)),
    "delete a webhook": (Operation.MANAGE_DESTINATIONS, SETUP, _destination("delete")),
    "test a webhook": (Operation.MANAGE_DESTINATIONS, SETUP, _destination("send_test")),
    "replay events": (
        Operation.MANAGE_DESTINATIONS,
        SETUP,
        _destination("replay_range", since="2026-11-01T00:00:00Z", until=LATER, is_all=True),
    ),
    "choose what a user is mailed about": (Operation.MANAGE_USERS, EITHER, _choose),
    "register a user": (
        Operation.MANAGE_USERS,
        EITHER,
        lambda scene: scene.farebox.services.merchants.add_user(scene.merchant_id, ANN, principal=scene.principal),
    ),
    "invite a user": (Operation.MANAGE_USERS, EITHER, _users("invite", ANN, Role.MEMBER)),
    "invite a user again": (Operation.MANAGE_USERS, EITHER, _users("invite_again", ANN)),
    "a user's role": (Operation.MANAGE_USERS, EITHER, _users("set_role", ANN, Role.MEMBER, is_owner_needed=False)),
    "remove a user": (Operation.MANAGE_USERS, EITHER, _users("remove", ANN, is_owner_needed=False)),
    "add staff": (Operation.MANAGE_STAFF, SETUP, _staff("add", "una@farebox.example", "Una")),
    "staff's roles": (Operation.MANAGE_STAFF, SETUP, _staff("set_roles", TESS, [VIEWER])),
    "invite staff again": (Operation.MANAGE_STAFF, SETUP, _staff("invite_again", TESS)),
    "close staff": (Operation.MANAGE_STAFF, SETUP, _staff("close", TESS)),
    "reopen staff": (Operation.MANAGE_STAFF, SETUP, _staff("reopen", TESS)),
    "remove staff's codes": (Operation.MANAGE_STAFF, SETUP, _staff("disable_two_factor", TESS)),
    "confirm staff": (Operation.CONFIRM_STAFF, EITHER, _confirm),
    "try mails again": (
        Operation.RUN_SERVER,
        EITHER,
        lambda scene: scene.farebox.services.console.retry(principal=scene.principal),
    ),
    "verify": (
        Operation.RUN_SERVER,
        EITHER,
        lambda scene: scene.farebox.services.verifications.start(principal=scene.principal),
    ),
}
"""For each action, the operation that it is, by whom it may be done, and how."""


@pytest.fixture
async def farebox(tmp_path: Path) -> AsyncIterator[Farebox]:
    """The parts over a ledger where more than 1,000.00 needs a second person."""
    async with open_farebox(f"sqlite:///{tmp_path / 'farebox.db'}", approval_above="1000") as farebox:
        yield farebox


def test_every_operation_is_tried_and_has_words() -> None:
    assert set(Operation) == set(ALLOWED_ROLES) == set(OPERATION_WORDS)
    assert set(Operation) - {Operation.READ} == {operation for operation, _, _ in ACTIONS.values()}


@pytest.mark.parametrize("name", WHO)
@pytest.mark.parametrize("action", ACTIONS)
async def test_who_has_the_role_may_and_nobody_else(farebox: Farebox, action: str, name: str) -> None:
    operation, allowed, do = ACTIONS[action]
    scene = Scene(farebox, await seed(farebox), Principal(f"{name}@farebox.example", roles=WHO[name]))
    if name in allowed:
        await do(scene)
        return
    with pytest.raises(Forbidden) as caught:
        await do(scene)
    needed = OPERATION_WORDS[operation]
    assert needed in caught.value.message or action == "add a merchant with credit"
    assert f"yours is {name}" in caught.value.message
    entries, _ = await farebox.services.audit_log.page(merchant_id=None, cursor=None, limit=1000)
    assert [] == list(entries)


@pytest.mark.parametrize("roles", WHO.values(), ids=WHO)
async def test_everybody_reads(roles: StaffRole) -> None:
    assert Principal("sam", roles=roles).may(Operation.READ)


@pytest.mark.parametrize("operation", Operation)
def test_a_merchants_user_is_no_staff(operation: Operation) -> None:
    user = Principal("ann@northwind.example")
    of_users = {
        *(Operation.SET_THRESHOLDS, Operation.MANAGE_USERS),
        *(Operation.MANAGE_MERCHANT_KEYS, Operation.SUSPEND_MERCHANT_KEY, Operation.MANAGE_DESTINATIONS),
    }
    assert (operation in of_users) == user.may(operation)
    if operation not in of_users:
        with pytest.raises(Forbidden, match="yours is no role"):
            user.ensure_may(operation)


async def test_a_key_does_no_more_than_who_makes_it(farebox: Farebox) -> None:
    merchants = farebox.services.merchants
    ada = Principal("ada@farebox.example", roles=ADMINISTRATOR)
    for roles in ([SUPPORT], [SUPPORT, ADMINISTRATOR]):
        with pytest.raises(Forbidden, match="A key does no more than who makes it may do"):
            await merchants.create_key(KeyKind.SUPPORT, name="till", roles=roles, principal=ada)
    made = await merchants.create_key(KeyKind.SUPPORT, name="ledger", roles=[VIEWER], principal=ada)
    assert VIEWER == made.key.roles
    assert VIEWER == (await merchants.rotate_key(made.key.key_id, principal=ada)).key.roles
    own = await merchants.create_key(KeyKind.SUPPORT, name="own", principal=ada)
    assert ADMINISTRATOR == own.key.roles
    till = await merchants.create_key(KeyKind.SUPPORT, name="till", roles=[SUPPORT])
    with pytest.raises(Forbidden, match="making one of the role support needs that role; yours is administrator"):
        await merchants.rotate_key(till.key.key_id, principal=ada)
    for kind, name in ((KeyKind.SERVICE, "geo"), (KeyKind.MERCHANT, None)):
        with pytest.raises(InvalidInput, match="only support's keys have roles"):
            await merchants.create_key(kind, name=name, roles=[VIEWER])
    service = await merchants.create_key(KeyKind.SERVICE, name="geo", principal=ada)
    assert NO_ROLE == service.key.roles


async def test_nobody_changes_their_own_roles_or_closes_themselves(farebox: Farebox) -> None:
    staff = farebox.services.staff
    await staff.add("ada@farebox.example", "Ada", principal=None)
    ada = Principal("ada@farebox.example", roles=EVERY_ROLE)
    with pytest.raises(Conflict, match="You can't change your own roles; ask another administrator"):
        await staff.set_roles("ada@farebox.example", [VIEWER], principal=ada)
    with pytest.raises(Conflict, match="You can't close your own way in; ask another administrator"):
        await staff.close("ada@farebox.example", principal=ada)


async def test_the_first_of_the_staff_does_everything_and_others_are_support(farebox: Farebox) -> None:
    staff = farebox.services.staff
    first, _ = await staff.add("ada@farebox.example", "Ada", principal=None)
    second, _ = await staff.add("sam@farebox.example", "Sam", principal=None)
    third, _ = await staff.add("vic@farebox.example", "Vic", roles=[VIEWER, ADMINISTRATOR], principal=None)
    assert (EVERY_ROLE, SUPPORT, ADMINISTRATOR) == (first.roles, second.roles, third.roles)
    changed = await staff.set_roles("sam@farebox.example", [VIEWER], principal=None)
    assert VIEWER == changed.roles
    with pytest.raises(InvalidInput, match="choose at least one role: viewer, support, administrator"):
        await staff.set_roles("sam@farebox.example", [], principal=None)


def test_to_see_is_part_of_the_other_roles() -> None:
    assert SUPPORT == together([VIEWER, SUPPORT])
    assert VIEWER == together([VIEWER])
    assert NO_ROLE == together([])
