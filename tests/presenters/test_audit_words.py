"""Each action of the audit log is told in words: of those who did it by name, of amounts and times as readers do."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.alerts import AlertKind
from farebox.core.audit_log import Action, AuditEntry
from farebox.core.commands import Caller, KeyKind
from farebox.core.pricing.rules import Line, Rates, Rule
from farebox.core.staff_roles import EVERY_ROLE, StaffRole
from farebox.presenters.audit_words import WORDS, actor_words, audit_sentence, audit_words
from farebox.presenters.times import time_words
from farebox.service.catalogue.imports import ListImport
from farebox.service.operator.audit_log import ActorNames
from farebox.service.operator.grants import GrantFields
from farebox.service.people.api_keys import Principal
from farebox.storage.destination_records import Channel
from farebox.storage.records import Realm, Role
from farebox.storage.upgrades.mailboxes import MAILBOXES
from farebox.web.schemas.spending import ChargeRequest, HoldRequest
from tests.support.clock import later
from tests.support.destinations import NOWHERE
from tests.support.server import open_farebox

ZURICH: Final = ZoneInfo("Europe/Zurich")
SAM: Final = Principal("sam@farebox.example", address="10.1.2.3", roles=EVERY_ROLE)
TESS: Final = Principal("tess@farebox.example", roles=EVERY_ROLE)
NEW_YEAR: Final = "2099-01-01T00:00:00Z"
NEXT_YEAR: Final = "2099-01-01T00:00:00.000001Z"
UMA: Final = "uma@farebox.example"
ANN: Final = "ann@northwind.example"
VIC: Final = "vic@northwind.example"
NAMES: Final = ActorNames({"sam@farebox.example": "Sam"}, {7: "Tess"})


def test_every_action_has_words() -> None:
    assert {action.value for action in Action} == set(WORDS)


@pytest.fixture
async def farebox(tmp_path: Path) -> AsyncIterator[Farebox]:
    """The parts over a ledger where more than 5,000.00 needs a second person."""
    async with open_farebox(f"sqlite:///{tmp_path / 'farebox.db'}", approval_above="5000") as farebox:
        yield farebox


async def test_what_is_done_reads_as_a_sentence(farebox: Farebox, tmp_path: Path) -> None:
    sam, tess = [
        replace(one, login_id=(await farebox.services.staff.add(one.name, "Sam", principal=None))[0].login_id)
        for one in (SAM, TESS)
    ]
    merchant_id = await _moves(farebox, sam, tess)
    until = await _holds(farebox, ids.public_id(ids.MERCHANT, merchant_id), sam)
    await _merchants(farebox, merchant_id)
    await _keys(farebox, merchant_id)
    await _destinations(farebox, merchant_id)
    await _staff(farebox, sam, tess)
    await _upgrade(farebox, merchant_id)
    await _import(farebox, tmp_path, sam)
    entries, _ = await farebox.services.audit_log.page(merchant_id=None, cursor=None, limit=1000)
    told = {entry.action: set[str]() for entry in entries}
    for entry in entries:
        told[entry.action].add(_KEY_PARTS.sub("…", audit_words(entry, ZURICH)))
    assert {action.value for action in Action} == set(told)
    extended = {f"let a hold of 2.00 CHF last until {until}"}
    assert {**_EXPECTED, Action.EXTEND_HOLD: extended} == {Action(action): words for action, words in told.items()}


async def _import(farebox: Farebox, folder: Path, sam: Principal) -> None:
    (folder / "merchants.csv").write_text("reference,name,currency\nn,Northwind,CHF\n")
    (folder / "keys.csv").write_text(f"reference,sha256\nn,{'0' * 64}\nn,{'1' * 64}\n")
    await farebox.services.imports.make([folder], principal=sam)


async def _credit(farebox: Farebox, merchant_id: int, sam: Principal) -> None:
    grants = farebox.services.grants
    fields = GrantFields(
        amount="20",
        reference="W-1",
        reason="trial, for a start",
        expires_at=NEW_YEAR,
        types=["image", "audio"],
        priority=3,
    )
    given = await grants.give(merchant_id, fields, principal=sam)
    assert given.grant is not None
    await grants.end(merchant_id, given.grant.id, reason="by mistake", principal=sam)
    much = GrantFields(amount="6000", reference="W-2", reason="bonus", expires_at=NEW_YEAR)
    assert (await grants.give(merchant_id, much, principal=sam)).approval is not None
    given = await grants.give(merchant_id, GrantFields("5", "W-3", "bonus"), principal=sam)
    assert given.grant is not None


async def _moves(farebox: Farebox, sam: Principal, tess: Principal) -> int:
    operations = farebox.services.operations
    merchant, _, _ = await farebox.services.merchants.create(
        name="Northwind", currency="CHF", thresholds=[], credit_limit="0", principal=sam
    )
    merchant_id = merchant.merchant_id
    await operations.top_up(merchant_id, amount="900", reference="INV-1", note="wire, by hand", principal=sam)
    await _credit(farebox, merchant_id, sam)
    transfer = ids.book_id(ids.TRANSFER, merchant_id=merchant_id, seq=1)
    await operations.reverse_top_up(
        merchant_id, transfer=transfer, amount="1.5", reference="R-1", reason="bounced", principal=sam
    )
    await operations.adjust(merchant_id, amount="-2", reference="A-1", reason="mistake", principal=sam)
    await operations.adjust(merchant_id, amount="3", reference="A-2", reason="gift", principal=sam)
    await farebox.services.prices.set("image", "0.01")
    charged = await operations.charge(ChargeRequest(merchant.id, "image", "c-1", quantity=100), caller=None)
    assert charged.transfer is not None
    await operations.refund(
        charged.transfer.id,
        idempotency_key="r-1",
        amount=None,
        reference=None,
        note=None,
        caller=None,
        principal=sam,
    )
    for amount in ("100", "100", "50"):
        await operations.set_credit_limit(merchant_id, amount, principal=sam)
    for amounts in (["20", "5"], []):
        await operations.set_thresholds(merchant_id, amounts, principal=sam)
    for days in ([14, 3], []):
        await farebox.services.runway_thresholds.set(merchant_id, days, principal=sam)
    for is_frozen in (True, False):
        await operations.set_frozen(merchant_id, is_frozen=is_frozen, principal=sam)
    approvals = farebox.services.approvals
    for reference, decide in (("BIG-1", approvals.approve), ("BIG-2", approvals.reject)):
        await operations.top_up(merchant_id, amount="25000", reference=reference, note=None, principal=sam)
        (newest,) = await approvals.page(merchant_id=merchant_id, before=None, limit=1)
        assert (await decide(merchant_id, newest.approval_id, principal=tess)).is_ok
    return merchant_id


async def _holds(farebox: Farebox, merchant: str, sam: Principal) -> str:
    """Extend a hold and release it; return when it was to end."""
    operations = farebox.services.operations
    held = await operations.hold(HoldRequest(merchant, "image", "h-1", quantity=200), caller=None)
    assert held.hold is not None
    with later(farebox, seconds=0):
        end = farebox.clock.now() + 3_600_000_000
        extended = await operations.extend(held.hold.id, ttl_seconds=3600, caller=None, principal=sam)
        assert extended.hold is not None
        assert end == extended.hold.expires_at
    released = await operations.release(
        held.hold.id, idempotency_key="rel-1", reference=None, reason="its service is gone", caller=None, principal=sam
    )
    assert released.is_ok
    return time_words(end, ZURICH)


async def _merchants(farebox: Farebox, merchant_id: int) -> None:
    services = farebox.services
    await services.merchants.rename(merchant_id, "Northwind Imaging", principal=SAM)
    await services.console.note_look(merchant_id, principal=SAM)
    for tags in (["VIP", "eu"], []):
        await services.annotations.set_tags(merchant_id, tags, principal=SAM)
    await services.annotations.note(merchant_id, "pays late, always", principal=SAM)
    gone, _, _ = await services.merchants.create(
        name="Gone", currency="CHF", thresholds=[], credit_limit="0", principal=None
    )
    for is_closed in (True, False):
        await services.operations.set_closed(
            gone.merchant_id, is_closed=is_closed, reason="moved, as agreed", principal=SAM
        )
    await services.merchants.add_user(merchant_id, ANN, principal=SAM)
    await services.users.invite_again(merchant_id, ANN, principal=SAM)
    await services.users.set_role(merchant_id, ANN, Role.VIEWER, is_owner_needed=False, principal=SAM)
    (ann,) = await farebox.stores.users.list(merchant_id)
    await services.unsubscribing.end(await services.unsubscribing.link_text(ann, AlertKind.CREDIT_ENDS), address=None)
    for types in (["balance.low", "topup.posted"], []):
        await services.choices.set_mailed(merchant_id, ANN, types, principal=SAM)
    await services.users.remove(merchant_id, ANN, is_owner_needed=False, principal=SAM)
    await services.users.invite(merchant_id, VIC, Role.VIEWER, principal=None)
    await services.users.remove(merchant_id, VIC, is_owner_needed=False, principal=None)
    await services.erasure.delete(VIC, principal=SAM)
    await services.prices.set("image", "0.008", merchant_id=merchant_id, starts=NEW_YEAR, principal=SAM)
    await services.prices.set("audio", "0.25", starts=NEW_YEAR, principal=SAM)
    await services.prices.set("call", None, starts=NEW_YEAR, principal=SAM)
    tokens = Rule(Rates((Line("input", 150_000, 1_000_000),)))
    await services.prices.set("azure/gpt:batch", rule=tokens, starts=NEW_YEAR, principal=SAM)
    own = await services.prices.set("image", "0.009", merchant_id=merchant_id, starts=NEXT_YEAR, principal=SAM)
    await services.prices.withdraw(own.price_id, merchant_id=merchant_id, principal=SAM)
    await services.prices.end("image", merchant_id=merchant_id, starts=NEXT_YEAR, principal=SAM)
    await services.prices.end("audio", starts=NEXT_YEAR, principal=SAM)
    fax = b'{"fax": {"unitPrice": "0.1"}}'
    await services.price_imports.make(ListImport(data=fax, starts=NEW_YEAR), principal=SAM)
    own_fax = ListImport(data=fax, starts=NEW_YEAR, markup="+5%", pattern="f*", merchant_id=merchant_id)
    await services.price_imports.make(own_fax, principal=SAM)


async def _keys(farebox: Farebox, merchant_id: int) -> None:
    merchants = farebox.services.merchants
    await merchants.create_key(KeyKind.MERCHANT, merchant_id=merchant_id, principal=SAM)
    till = await merchants.create_key(KeyKind.SUPPORT, name="till", roles=[StaffRole.SUPPORT], principal=SAM)
    service = await merchants.create_key(KeyKind.SERVICE, name="geo from here", principal=SAM)
    await merchants.rotate_key(till.key.key_id, principal=SAM)
    at_shell = Principal("shell:root", roles=EVERY_ROLE)
    await farebox.services.staff.assign_key(till.key.key_id, TESS.name, principal=at_shell)
    await farebox.services.staff.assign_key(service.key.key_id, None, principal=at_shell)
    await merchants.expire_key(service.key.key_id, NEW_YEAR, principal=SAM)
    await merchants.revoke_key(service.key.key_id, principal=SAM)
    budgets = farebox.services.key_budgets
    theirs = await merchants.create_key(KeyKind.MERCHANT, merchant_id=merchant_id, name="jobs", principal=SAM)
    await budgets.set(theirs.key.key_id, {"day": "10", "total": "2500"}, zone="UTC", principal=SAM)
    await budgets.set(theirs.key.key_id, {}, zone="UTC", principal=SAM)
    await merchants.suspend_key(theirs.key.key_id, principal=SAM)
    await merchants.resume_key(theirs.key.key_id, principal=SAM)
    await budgets.rename(theirs.key.key_id, "nightly jobs", principal=SAM)
    await budgets.rename(theirs.key.key_id, None, principal=SAM)


async def _destinations(farebox: Farebox, merchant_id: int) -> None:
    destinations = farebox.services.destinations
    made = await destinations.add(
        merchant_id, Channel.WEBHOOK, NOWHERE, types=["balance.low"], name="orders, all", principal=SAM
    )
    one = made.destination
    await destinations.change(one, name="orders", types=["topup.posted"], principal=SAM)
    one = await destinations.get(one.destination_id)
    await destinations.rotate_secret(one, overlap_seconds=0, principal=SAM)
    await destinations.replay_range(one, since=NEW_YEAR, until="2099-02-01T00:00:00Z", is_all=False, principal=SAM)
    await destinations.set_on(one, is_on=False, principal=SAM)
    await destinations.delete(one, principal=SAM)


async def _staff(farebox: Farebox, sam: Principal, tess: Principal) -> None:
    staff = farebox.services.staff
    await staff.add(UMA, "Uma", roles=[StaffRole.VIEWER], principal=sam)
    await staff.confirm(UMA, principal=tess)
    await staff.set_roles(UMA, [StaffRole.SUPPORT, StaffRole.ADMINISTRATOR], principal=sam)
    await staff.invite_again(UMA, principal=sam)
    await staff.close(UMA, principal=sam)
    await staff.reopen(UMA, principal=sam)
    uma = await farebox.stores.logins.find(Realm.SUPPORT, UMA)
    assert uma is not None
    await farebox.stores.logins.set_totp_seed(uma.login_id, b"\1" * 32)
    await staff.disable_two_factor(UMA, principal=sam)
    await farebox.services.console.retry(principal=sam)
    await farebox.services.verifications.start(principal=sam)


async def _upgrade(farebox: Farebox, merchant_id: int) -> None:
    """Write what an upgrade says of addresses that reach one mailbox."""
    users = [(merchant_id, number, email, number, 3) for number, email in enumerate((ANN, ANN.title()))]
    logins = [
        (number, 1, email, number, 0, None, None, has_password, False)
        for number, (email, has_password) in enumerate(((ANN, True), (ANN.title(), False), (ANN.upper(), True)))
    ]
    for statement, values in MAILBOXES.plan([users, logins, [], [], []], farebox.clock.now()):
        if "audit_log" in statement:
            entry_id, owner, at, actor, action, subject, detail = values
            entry = AuditEntry(entry_id, owner or None, at, actor, None, None, action, subject, detail)
            await farebox.stores.audit_log.append(entry)


_KEY_PARTS: Final = re.compile(r"(?<=fb[msu]_)…\w+|(?<=key_)\w+")
"""What differs from run to run."""

_STARTS: Final = "1 Jan 2099, 01:00 CET"
_EXPECTED: Final[dict[Action, set[str]]] = {
    Action.ADD_DESTINATION: {"added the webhook orders, all: balance.low"},
    Action.CHANGE_DESTINATION: {"changed the destination orders, all: name orders, topup.posted"},
    Action.ROTATE_DESTINATION_SECRET: {
        "gave the webhook orders a new secret; the one before is good no more",
    },
    Action.SET_DESTINATION_STATE: {"turned the destination orders off"},
    Action.DELETE_DESTINATION: {"deleted the destination orders"},
    Action.REPLAY_DELIVERIES: {
        "had events from 1 Jan 2099, 01:00 CET to 1 Feb 2099, 01:00 CET sent once more to the destination orders"
    },
    Action.SET_MAIL_KINDS: {
        "chose what ann@northwind.example is mailed about: balance.low, topup.posted",
        "chose what ann@northwind.example is mailed about: nothing",
    },
    Action.REFUND: {"refunded 1.00 CHF"},
    Action.RELEASE_HOLD: {"released a hold of 2.00 CHF, its service is gone"},
    Action.TOP_UP: {"topped up 900.00 CHF, INV-1, wire, by hand"},
    Action.TOP_UP_REVERSAL: {"took back 1.50 CHF of a top-up, R-1, bounced"},
    Action.ADJUSTMENT: {
        "adjusted the balance by -2.00 CHF, A-1, mistake",
        "adjusted the balance by 3.00 CHF, A-2, gift",
    },
    Action.SET_THRESHOLDS: {"set the thresholds to 5.00 and 20.00 CHF", "removed all thresholds"},
    Action.SET_RUNWAY_THRESHOLDS: {
        "set the thresholds in days left to 3 and 14",
        "removed all thresholds in days left",
    },
    Action.SET_CREDIT_LIMIT: {
        "raised the credit limit from 0.00 to 100.00 CHF",
        "left the credit limit at 100.00 CHF",
        "lowered the credit limit from 100.00 to 50.00 CHF",
    },
    Action.GIVE_CREDIT: {
        f"gave 20.00 CHF of credit, until {_STARTS}, for audio and image alone, with the priority 3, W-1, trial, for a "
        "start",
        "gave 5.00 CHF of credit, W-3, bonus",
    },
    Action.END_GRANT: {"ended given credit, of which 20.00 CHF was left, W-1, by mistake"},
    Action.SET_CLOSED: {
        "closed the merchant: moved, as agreed",
        "opened the merchant again: moved, as agreed",
    },
    Action.SET_TAGS: {"set the tags eu, vip", "removed all tags"},
    Action.NOTE: {"noted: pays late, always"},
    Action.SET_FROZEN: {"froze the merchant", "let the merchant spend again"},
    Action.REQUEST_APPROVAL: {
        "asked for a top-up of 25,000.00 CHF, BIG-1",
        "asked for a top-up of 25,000.00 CHF, BIG-2",
        f"asked for a grant of 6,000.00 CHF of credit, until {_STARTS}, W-2, bonus",
    },
    Action.APPROVE: {"approved a top-up of 25,000.00 CHF, BIG-1"},
    Action.REJECT: {"rejected a top-up of 25,000.00 CHF, BIG-2"},
    Action.CREATE_MERCHANT: {"added the merchant Northwind"},
    Action.RENAME_MERCHANT: {"renamed the merchant to Northwind Imaging"},
    Action.LOOK_AS_MERCHANT: {"looked at the account as the merchant sees it"},
    Action.ADD_USER: {f"registered {ANN} as an owner"},
    Action.INVITE_USER: {f"mailed {ANN} a new link to choose a password"},
    Action.SET_ROLE: {f"made {ANN} a viewer"},
    Action.REMOVE_USER: {f"removed {ANN} from the account"},
    Action.DELETE_PERSON: {"deleted what was kept of a person"},
    Action.STOP_MAILS: {f"ended mails of one kind to {ANN} by a link in one"},
    Action.CREATE_KEY: {
        "made a key of the merchant's (fbm_…)",
        "made a key of the merchant's “jobs” (fbm_…)",
        "made support key “till” (fbu_…), with the role support",
        "made service key “geo from here” (fbs_…)",
    },
    Action.EXPIRE_KEY: {f"let service key “geo from here” (fbs_…) end on {_STARTS}"},
    Action.ROTATE_KEY: {"made support key “till” (fbu_…) in place of key_…"},
    Action.ASSIGN_KEY: {
        "said that support key “till” (fbu_…) belongs to tess@farebox.example",
        "said that service key “geo from here” (fbs_…) belongs to the command line",
    },
    Action.REVOKE_KEY: {"revoked service key “geo from here” (fbs_…)"},
    Action.SUSPEND_KEY: {"suspended a key of the merchant's “jobs” (fbm_…)"},
    Action.RESUME_KEY: {"resumed a key of the merchant's “jobs” (fbm_…)"},
    Action.SET_KEY_BUDGET: {
        "limited a key of the merchant's “jobs” (fbm_…) to 10.00 per day, 2,500.00 CHF in all (UTC)",
        "took the budget of a key of the merchant's “jobs” (fbm_…) away",
    },
    Action.RENAME_KEY: {
        "named a key of the merchant's “jobs” (fbm_…) “nightly jobs”",
        "took the name of a key of the merchant's “nightly jobs” (fbm_…) away",
    },
    Action.SET_PRICE: {
        f"set the merchant's own price of image to 0.008 CHF from {_STARTS} on",
        f"set the default price of audio to 0.25 from {_STARTS} on",
        f"set the merchant's own price of image to 0.009 CHF from {_STARTS} on",
        f"made the default price of call variable from {_STARTS} on",
        f"set the default price of azure/gpt:batch by a rule from {_STARTS} on",
    },
    Action.IMPORT_PRICES: {
        f"imported default prices from a list, 1 new and 0 changed from {_STARTS} on (own)",
        f"imported prices of the merchant's own from a list, 1 new and 0 changed from {_STARTS} on (own, +5%, f*)",
    },
    Action.IMPORT: {"began an import from another system: 1 merchant, 2 keys"},
    Action.WITHDRAW_PRICE: {f"withdrew the merchant's own price of image that was to start {_STARTS}"},
    Action.END_PRICE: {
        f"ended the merchant's own price of image from {_STARTS} on",
        f"retired audio from {_STARTS} on",
    },
    Action.ADD_STAFF: {f"let Uma ({UMA}) sign in at the console as viewer"},
    Action.CONFIRM_STAFF: {f"confirmed that {UMA} is a person of their own"},
    Action.INVITE_STAFF: {f"mailed {UMA} a new link to choose a password"},
    Action.SET_STAFF_ROLES: {f"changed the role of {UMA} from viewer to support and administrator"},
    Action.CLOSE_STAFF: {f"closed the staff account of {UMA}"},
    Action.REOPEN_STAFF: {f"opened the staff account of {UMA} again"},
    Action.DISABLE_TWO_FACTOR: {f"removed the one-time codes of {UMA}"},
    Action.RETRY_MAILS: {"had 6 unsent mails tried again"},
    Action.VERIFY: {"began to verify the ledger"},
    Action.MERGE_USERS: {
        f"made one user of several, {ANN}: Ann@Northwind.Example (viewer): one mailbox, one user, who is viewer"
    },
    Action.MERGE_LOGINS: {
        f"made one login of several, {ANN}: Ann@Northwind.Example had no password: one mailbox, one login on the"
        " dashboard"
    },
    Action.SET_LOGIN_ASIDE: {
        f"left one login of several open, {ANN}: ANN@NORTHWIND.EXAMPLE has a password of its own and is closed on the"
        f" dashboard; a mailed link opens {ANN}"
    },
}


def _entry(action: str, detail: str, *, actor: str = "sam@farebox.example", key_id: int | None = None) -> AuditEntry:
    return AuditEntry(1, 5, 1_785_000_000_000_000, actor, key_id, None, action, "ann@northwind.example", detail)


@pytest.mark.parametrize(
    ("action", "detail", "words"),
    [
        ("top_up", "top_up of 25000.00 CHF, INV-1", "topped up 25,000.00 CHF, INV-1"),
        ("top_up", "top_up of 25000.00 JPY, INV-1", "topped up 25,000 JPY, INV-1"),
        ("reject", "adjustment of -0.25 USD, C, 5.00 USD", "rejected an adjustment of -0.25 USD, C, 5.00 USD"),
        ("set_credit_limit", "1500.00 KWD", "set the credit limit to 1,500.000 KWD"),
        ("set_thresholds", "5.00 USD", "set the thresholds to 5.00 USD"),
        ("set_thresholds", "20.00 USD, 1000.00 USD, 3.00 USD", "set the thresholds to 20.00, 1,000.00 and 3.00 USD"),
        ("retry_mails", "1", "had 1 unsent mail tried again"),
        ("add_user", "", "registered ann@northwind.example"),
        ("create_key", "fbu_…8K2P till", "made support key “till” (fbu_…8K2P)"),
        ("create_key", "fbu_…8K2P seen as support", "made support key “seen” (fbu_…8K2P), with the role support"),
        ("add_staff", "Sam", "let Sam (ann@northwind.example) sign in at the console"),
        (
            "set_price",
            "image 0.01 from 2027-01-01T00:00:00.000000Z",
            "set the merchant's own price of image to 0.01 from 1 Jan 2027, 01:00 CET on",
        ),
        ("set_price", "nothing that is understood", "set a price: nothing that is understood"),
        (
            "import_prices",
            "nothing that is understood",
            "imported prices of the merchant's own: nothing that is understood",
        ),
        ("top_up", "nothing that is understood", "topped up an amount, nothing that is understood"),
        ("give_credit", "nothing that is understood", "gave credit, nothing that is understood"),
        ("give_credit", "grant of 5.00 USD, priority 5, five", "gave 5.00 USD of credit, priority 5, five"),
        ("end_grant", "nothing that is understood", "ended given credit, nothing that is understood"),
        ("approve", "nothing that is understood", "approved a request, nothing that is understood"),
        ("create_key", "nothing that is understood", "made nothing that is understood"),
        ("expire_key", "fbs_…8K2P geo from never", "let service key “geo” (fbs_…8K2P) end on never"),
        ("top_up", "top_up of 99999999999999.00 USD", "topped up 99999999999999.00 USD"),
        (
            "set_credit_limit",
            "from 99999999999999.00 USD to 1.00 USD",
            "raised the credit limit from 99999999999999.00 to 1.00 USD",
        ),
        ("done_by_a_later_version", "with care", "done by a later version: with care"),
        ("done_by_a_later_version", "", "done by a later version"),
    ],
)
def test_what_other_versions_wrote_is_told_as_far_as_it_is_understood(action: str, detail: str, words: str) -> None:
    assert words == audit_words(_entry(action, detail), ZURICH)


@pytest.mark.parametrize(
    ("actor", "key_id", "who"),
    [
        ("sam@farebox.example", None, "Sam"),
        ("ann@northwind.example", None, "ann@northwind.example"),
        ("shell:root", None, "root, at the server's shell"),
        ("till", 7, "Tess, by the key “till”"),
        ("till", 8, "The key “till”"),
        ("sam@farebox.example", 8, "The key “sam@farebox.example”"),
    ],
)
def test_who_did_it_is_named(actor: str, key_id: int | None, who: str) -> None:
    assert who == actor_words(_entry("top_up", "", actor=actor, key_id=key_id), NAMES)


def test_a_sentence_begins_with_who_did_it() -> None:
    detail = "top_up of 25000.00 CHF, INV-1"
    asked = "asked for a top-up of 25,000.00 CHF, INV-1"
    for actor, key_id, who in (
        ("sam@farebox.example", None, "Sam"),
        ("till", 7, "Tess, by the key “till”,"),
        ("till", 8, "The key “till”"),
        ("shell:root", None, "root, at the server's shell,"),
    ):
        entry = _entry("request_approval", detail, actor=actor, key_id=key_id)
        assert f"{who} {asked}" == audit_sentence(entry, NAMES, ZURICH)


async def test_staff_are_called_by_their_names(farebox: Farebox) -> None:
    await farebox.services.staff.add(SAM.name, "Sam", principal=None)
    await farebox.services.prices.set("image", "0.01", principal=SAM)
    entries, _ = await farebox.services.audit_log.page(merchant_id=None, cursor=None, limit=1)
    assert "Sam" == actor_words(entries[0], await farebox.services.audit_log.names())


async def test_a_key_is_named_with_the_staff_who_made_it(farebox: Farebox) -> None:
    services = farebox.services
    sam, _ = await services.staff.add(SAM.name, "Sam", principal=None)
    signed_in = replace(SAM, login_id=sam.login_id)
    till = await services.merchants.create_key(KeyKind.SUPPORT, name="till", principal=signed_in)
    by_till = Principal("till", Caller(till.key.digest), till.key.key_id, roles=EVERY_ROLE)
    made = await services.merchants.create_key(KeyKind.SUPPORT, name="other", principal=by_till)
    shell = await services.merchants.create_key(KeyKind.SUPPORT, name="shell", principal=None)
    names = await services.audit_log.names()
    assert {till.key.key_id: "Sam", made.key.key_id: "Sam"} == names.makers
    for key, who in ((till, "Sam, by the key “till”"), (made, "Sam, by the key “other”"), (shell, "The key “shell”")):
        entry = _entry("top_up", "", actor=key.key.name or "", key_id=key.key.key_id)
        assert who == actor_words(entry, names)
