"""A second person approves, on every way in: over a whole application and both engines."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from farebox.alerts.account_mail import AccountMails
from farebox.alerts.transport import Withdrawn
from farebox.bootstrap import Farebox
from farebox.config import Settings
from farebox.core.commands import KeyKind
from farebox.core.outcomes import Code
from farebox.core.staff_roles import StaffRole
from farebox.service.errors import Conflict, InvalidInput, NeedsAnotherPerson
from farebox.service.people.api_keys import Principal, parse_key
from farebox.storage.records import Purpose
from tests.alerts.test_messages import MAIL_SETTINGS
from tests.support.app_client import AppClient, Reply, open_client
from tests.support.report_writer import report_mails, staff_warnings
from tests.support.server import Seeds, seed, staff_member, support_key_of

SHELL = Principal("shell:root", roles=StaffRole.SUPPORT | StaffRole.ADMINISTRATOR)


@pytest.fixture
async def farebox(database_url: str) -> AsyncIterator[Farebox]:
    """Where more than 100 needs a second person."""
    farebox = Farebox.build(Settings.of(database_url=database_url, approval_above="100, JPY 20000"))
    await farebox.stores.connector.migrate(farebox.clock.now())
    async with farebox.running():
        yield farebox


class Scene:
    """A merchant, and ways to ask for it."""

    def __init__(self, farebox: Farebox, client: AppClient, seeds: Seeds) -> None:
        self.farebox = farebox
        self.client = client
        self.seeds = seeds

    async def api(self, method: str, path: str, key: str, content: dict[str, Any] | None = None) -> Reply:
        path = f"/api/admin/merchants/{self.seeds.merchant}{path}" if path[:1] in ("", "/") else f"/api/{path}"
        return await self.client.send(
            method, path, key=key, body=b"" if content is None else json.dumps(content).encode()
        )

    async def top_up(self, amount: str, reference: str, key: str) -> Reply:
        return await self.api("POST", "/topups", key, {"amount": amount, "reference": reference})

    async def approve(self, approval_id: str, key: str) -> tuple[int, str | None]:
        reply = await self.api("POST", f"/approvals/{approval_id}/approve", key)
        return reply.status, reply.code

    async def new_key(self, key: str, kind: str = "support") -> str:
        """Make a key with a key."""
        reply = await self.api("POST", "admin/keys", key, {"kind": kind, "name": "another"})
        return str(reply.data["apiKey"])

    async def waiting(self, who: Principal) -> tuple[int, int]:
        """Count the requests and the accounts that wait for one of the staff."""
        login = await self.farebox.stores.logins.get(who.login_id or 0)
        assert login is not None
        found = await self.farebox.services.approvals.waiting_for(login)
        return len(found.approvals), len(found.accounts)


@pytest.fixture
async def scene(farebox: Farebox) -> Scene:
    return Scene(farebox, await open_client(farebox), await seed(farebox, balance="50"))


SAME = (403, "approval_needs_another_person")
DONE = (200, None)


async def test_a_key_made_by_a_key_is_nobody_else(scene: Scene) -> None:
    ann = scene.seeds.support_key
    asked = await scene.top_up("50000", "BIG", ann)
    assert 202 == asked.status
    second = await scene.new_key(ann)
    third = await scene.new_key(second)
    for key in (ann, second, third):
        assert SAME == await scene.approve(asked.data["approvalId"], key)
    rotated = await scene.api("POST", f"admin/keys/{await _key_id(scene, third)}/rotate", ann, {})
    assert SAME == await scene.approve(asked.data["approvalId"], rotated.data["apiKey"])
    assert DONE == await scene.approve(asked.data["approvalId"], await support_key_of(scene.farebox, "ben"))


async def _key_id(scene: Scene, text: str) -> str:
    key = parse_key(text)
    assert key is not None
    listed = (await scene.api("GET", "admin/keys", scene.seeds.support_key)).data["keys"]
    record = await scene.farebox.stores.api_keys.authenticate(None, key.digest)
    assert record is not None
    (found,) = [item["keyId"] for item in listed if item["hint"].endswith(text[-4:])]
    return str(found)


async def test_an_account_counts_as_who_added_it_until_another_person_confirms_it(scene: Scene) -> None:
    farebox, staff = scene.farebox, scene.farebox.services.staff
    ann = await staff_member(farebox, "ann")
    login, _ = await staff.add("puppet@farebox.example", "Puppet", principal=ann)
    puppet = Principal(login.email, roles=StaffRole.SUPPORT | StaffRole.ADMINISTRATOR, login_id=login.login_id)
    before = (await farebox.services.merchants.create_key(KeyKind.SUPPORT, name="p", principal=puppet)).text
    operations, number = farebox.services.operations, scene.seeds.merchant_id
    asked = await operations.top_up(number, amount="50000", reference="BIG", note=None, principal=ann)
    assert asked.approval is not None
    approvals, approval_id = farebox.services.approvals, asked.approval.approval_id
    outcome = await approvals.approve(number, approval_id, principal=puppet)
    assert Code.APPROVAL_NEEDS_ANOTHER_PERSON is outcome.code
    assert SAME == await scene.approve(asked.approval.id, before)
    for same in (ann, puppet):
        with pytest.raises(NeedsAnotherPerson):
            await staff.confirm(login.email, principal=same)
    ben = await staff_member(farebox, "ben")
    assert (1, 1) == await scene.waiting(ben)
    assert (0, 0) == await scene.waiting(ann)
    assert "" == (await staff.confirm(login.email, principal=ben)).counts_as
    with pytest.raises(Conflict):
        await staff.confirm(login.email, principal=ben)
    # The key from before may be in the hands of either.
    assert SAME == await scene.approve(asked.approval.id, before)
    assert (await approvals.approve(number, approval_id, principal=puppet)).is_ok


async def test_the_command_line_adds_people_and_is_one(scene: Scene) -> None:
    farebox, number = scene.farebox, scene.seeds.merchant_id
    login, _ = await farebox.services.staff.add("first@farebox.example", "First", principal=SHELL)
    assert "" == login.counts_as
    key = (await farebox.services.merchants.create_key(KeyKind.SUPPORT, name="shell's", principal=SHELL)).text
    asked = await farebox.services.operations.top_up(
        number, amount="500", reference="S", note=None, principal=Principal("shell:ann", roles=SHELL.roles)
    )
    assert asked.approval is not None
    assert SAME == await scene.approve(asked.approval.id, key)
    first = Principal(login.email, roles=SHELL.roles, login_id=login.login_id)
    approved = await farebox.services.approvals.approve(number, asked.approval.approval_id, principal=first)
    assert approved.is_ok


async def test_a_key_of_unknown_origin_approves_nothing_until_the_command_line_says_whose_it_is(scene: Scene) -> None:
    farebox = scene.farebox
    made = await farebox.services.merchants.create_key(KeyKind.SUPPORT, name="old")
    await farebox.stores.api_keys.assign(made.key.key_id, frozenset({0}))
    asked = await scene.top_up("500", "A", scene.seeds.support_key)
    assert SAME == await scene.approve(asked.data["approvalId"], made.text)
    theirs = await scene.top_up("500", "B", made.text)
    ben = await support_key_of(farebox, "ben")
    assert SAME == await scene.approve(theirs.data["approvalId"], ben)
    cleo = await staff_member(farebox, "cleo")
    await farebox.services.staff.assign_key(made.key.key_id, cleo.name, principal=SHELL)
    assert DONE == await scene.approve(asked.data["approvalId"], made.text)
    await farebox.services.staff.assign_key(made.key.key_id, None, principal=SHELL)
    with pytest.raises(InvalidInput):
        await farebox.services.staff.assign_key(made.key.key_id, "nobody@farebox.example", principal=SHELL)


async def test_a_credit_limit_waits_like_a_move(scene: Scene) -> None:
    ann = scene.seeds.support_key
    asked = await scene.api("PATCH", "", ann, {"creditLimit": "100000"})
    assert (202, "credit_limit", "100000.00") == (asked.status, asked.data["kind"], asked.data["amount"])
    assert "0.00" == (await scene.api("GET", "", ann)).data["creditLimit"]
    assert SAME == await scene.approve(asked.data["approvalId"], ann)
    assert DONE == await scene.approve(asked.data["approvalId"], await support_key_of(scene.farebox, "ben"))
    assert "100000.00" == (await scene.api("GET", "", ann)).data["creditLimit"]
    made = await scene.api("POST", "admin/merchants", ann, {"name": "New", "currency": "USD", "creditLimit": "100.01"})
    assert (422, "invalid_value") == (made.status, made.code)


async def test_a_refund_by_hand_waits_and_by_a_key_that_one_person_made_is_refused(scene: Scene) -> None:
    ann, ben = scene.seeds.support_key, await support_key_of(scene.farebox, "ben")
    asked = await scene.top_up("1000", "FUNDS", ann)
    assert DONE == await scene.approve(asked.data["approvalId"], ben)
    charge = {"merchant": scene.seeds.merchant, "type": "image", "quantity": 60000, "idempotencyKey": "c"}
    charged = await scene.api("POST", "charges", scene.seeds.service_key, charge)
    refund = {"transferId": charged.data["transferId"], "idempotencyKey": "r"}
    own = await scene.new_key(ann, kind="service")
    refused = await scene.api("POST", "refunds", own, {**refund, "amount": "100.01"})
    assert (403, "approval_required") == (refused.status, refused.code)
    waits = await scene.api("POST", "refunds", ann, refund)
    assert (202, "600.00") == (waits.status, waits.data["amount"])
    assert SAME == await scene.approve(waits.data["approvalId"], ann)
    assert DONE == await scene.approve(waits.data["approvalId"], ben)
    again = await scene.api("POST", "refunds", ann, refund)
    assert (200, "true") == (again.status, again.header("idempotent-replay"))
    # A program of the operator's own gives back what it took.
    assert 409 == (await scene.api("POST", "refunds", scene.seeds.service_key, {**refund, "amount": "1"})).status


async def test_a_waiting_request_has_its_reference(scene: Scene) -> None:
    ann, ben = scene.seeds.support_key, await support_key_of(scene.farebox, "ben")
    asked = await scene.top_up("500", "R", ann)
    other = await scene.top_up("50", "R", ben)
    assert (409, "idempotency_conflict") == (other.status, other.code)
    assert asked.data["approvalId"] in other.message
    assert DONE == await scene.approve(asked.data["approvalId"], ben)
    wrong = await scene.top_up("501", "S", ann)
    assert 200 == (await scene.api("POST", f"/approvals/{wrong.data['approvalId']}/reject", ben)).status
    assert 409 == (await scene.top_up("501", "S", ann)).status
    assert 200 == (await scene.top_up("51", "S", ann)).status


async def test_many_moves_at_once_by_several_keys_come_to_no_more_than_the_limit(scene: Scene) -> None:
    ann = scene.seeds.support_key
    keys = [ann, await scene.new_key(ann), await scene.new_key(ann)]
    other = Farebox.build(scene.farebox.settings)
    async with other.running():
        scenes = [scene, Scene(other, await open_client(other), scene.seeds)]
        replies = await asyncio.gather(
            *[scenes[number % 2].top_up("7", f"R{number}", keys[number % 3]) for number in range(40)]
        )
    assert [200] * 14 + [202] * 26 == sorted(reply.status for reply in replies)


async def test_staff_who_may_approve_are_mailed_once_and_nobody_else(scene: Scene) -> None:
    farebox = scene.farebox
    ann, ben = await staff_member(farebox, "ann"), await staff_member(farebox, "ben")
    viewer = await staff_member(farebox, "vi")
    await farebox.stores.logins.set_roles(viewer.login_id or 0, StaffRole.VIEWER)
    closed = await staff_member(farebox, "closed")
    await farebox.stores.logins.set_disabled(closed.login_id or 0, 1)
    for reference in ("A", "B"):
        outcome = await farebox.services.operations.top_up(
            scene.seeds.merchant_id, amount="500", reference=reference, note=None, principal=ann
        )
        assert outcome.approval is not None
    mails = [mail for mail in await farebox.stores.account_mails.list(99) if mail.purpose == Purpose.APPROVAL]
    mailed = [mail.login_id for mail in mails]
    assert 1 == mailed.count(ben.login_id or 0)
    assert {ann.login_id, viewer.login_id, closed.login_id}.isdisjoint(mailed)
    assert ((2, 0), (0, 0), (0, 0)) == (await scene.waiting(ben), await scene.waiting(ann), await scene.waiting(viewer))


async def test_the_mail_tells_what_waits_as_of_now_and_is_withdrawn_when_nothing_does(scene: Scene) -> None:
    farebox = scene.farebox
    ann, ben = await staff_member(farebox, "ann"), await staff_member(farebox, "ben")
    services, number = farebox.services, scene.seeds.merchant_id
    await services.operations.set_credit_limit(number, "9000", principal=ann)
    await services.operations.adjust(number, amount="-500", reference="A", reason="typo", principal=ann)
    await services.staff.add("una@farebox.example", "Una", principal=ann)
    (mail,) = [
        mail
        for mail in await farebox.stores.account_mails.list(99)
        if (mail.purpose, mail.login_id) == (Purpose.APPROVAL, ben.login_id)
    ]
    queue = AccountMails(
        farebox.stores,
        services.sign_in,
        MAIL_SETTINGS,
        farebox.clock,
        services.approvals,
        report_mails(farebox.stores, farebox.clock, MAIL_SETTINGS),
        staff_warnings(farebox.stores, farebox.clock, MAIL_SETTINGS),
    )
    message = await queue.compose(mail)
    assert "3 requests wait for your approval" == message["Subject"]
    for form in ("plain", "html"):
        part = message.get_body((form,))
        assert part is not None
        words = " ".join(part.get_content().split())
        assert f"Credit limit of 9,000.00 USD for Northwind Imaging, requested by {ann.name}" in words
        assert f"Adjustment of -500.00 USD for Northwind Imaging, requested by {ann.name} (A)" in words
        assert "Una (una@farebox.example)" in words
        assert f"{MAIL_SETTINGS.public_url}/support/approvals" in words
    for approval in await services.approvals.pending():
        assert (await services.approvals.reject(number, approval.approval_id, principal=ann)).is_ok
    await services.staff.confirm("una@farebox.example", principal=ben)
    with pytest.raises(Withdrawn, match="nothing waits"):
        await queue.compose(mail)


async def test_currencies_have_limits_of_their_own(scene: Scene) -> None:
    farebox = scene.farebox
    merchant, _, _ = await farebox.services.merchants.create(
        name="Kissa", currency="JPY", thresholds=[], credit_limit="0", principal=None
    )
    ann = await staff_member(farebox, "ann")

    async def waits(amount: str) -> bool:
        outcome = await farebox.services.operations.top_up(
            merchant.merchant_id, amount=amount, reference=amount, note=None, principal=ann
        )
        assert outcome.is_ok
        return outcome.transfer is None

    assert [False, True, False] == [await waits("19000"), await waits("1001"), await waits("1000")]
