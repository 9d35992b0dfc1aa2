"""One of each sort of people, at two merchants: who they are, and what a page answers them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.commands import GiveCredit, KeyKind, RequestApproval, TopUp
from farebox.service.gate.files import read_rules
from farebox.storage.records import Realm, Role
from farebox.web.pages.live import Live
from farebox.web.pages.throttle import SignInThrottle
from farebox.web.schemas.spending import HoldRequest
from tests.support.app_client import AppClient, Reply, open_client
from tests.support.destinations import add_destinations
from tests.support.server import Seeds, open_farebox, seed
from tests.web.console.visitor import FORM, Visitor
from tests.web.gate import RULES, SECRET

SIGNED_IN: Final = ("viewer", "member", "owner", "stranger")
"""Merchants' people: three of the one merchant, and an owner of the other."""

OUTSIDERS: Final = ("nobody", "closed", "expired")
"""Visitors without a valid session: two were owners of the merchant."""

WHO: Final = (*SIGNED_IN, "support", *OUTSIDERS)


@dataclass(frozen=True)
class Site:
    """The people, a client, and what a path may name."""

    farebox: Farebox
    client: AppClient
    seeds: Seeds
    visitors: dict[str, Visitor]
    parts: dict[str, str]

    def path(self, template: str) -> str:
        """Write a path of the table, for things that are there."""
        for part, there in self.parts.items():
            template = template.replace(part, there)
        assert "{" not in template, f"{template}: say in tests/security/people.py what it names"
        return template

    async def ask(self, method: str, path: str, who: str, body: bytes = b"") -> Reply:
        """Ask for a page, or send a form."""
        cookies = [self.visitors[who].cookie] if who in self.visitors else []
        return await self.client.send(method, path, headers=[*cookies, FORM], body=body)


@asynccontextmanager
async def open_site(folder: Path) -> AsyncIterator[Site]:
    """Open a ledger where all are. Streams are closed, and nobody is slowed down."""
    async with open_farebox(f"sqlite:///{folder / 'farebox.db'}", gate_secret=SECRET) as farebox:
        live = Live()
        live.close()
        client = await open_client(
            farebox, throttle=SignInThrottle(burst_seconds=1e6), live=live, gate_rules=read_rules(RULES)
        )
        seeds, other = await seed(farebox), await seed(farebox)
        visitors = {}
        roles = {"viewer": Role.VIEWER, "member": Role.MEMBER}
        for who in (*SIGNED_IN, *OUTSIDERS[1:]):
            email = f"{who}@northwind.example"
            visitors[who] = await Visitor.sign_in(farebox, client, Realm.MERCHANT, email)
            merchant_id = other.merchant_id if who == "stranger" else seeds.merchant_id
            await farebox.services.merchants.add_user(merchant_id, email, role=roles.get(who, Role.OWNER))
        visitors["support"] = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "sam@farebox.example", "Sam")
        await farebox.stores.logins.set_disabled(visitors["closed"].signed_in.login.login_id, farebox.clock.now())
        await farebox.stores.sessions.touch(visitors["expired"].signed_in.session.digest, seen_at=1, expires_at=1)
        yield Site(farebox, client, seeds, visitors, await _parts(farebox, seeds))


async def _parts(farebox: Farebox, seeds: Seeds) -> dict[str, str]:
    (own,) = await farebox.services.merchants.keys(seeds.merchant_id)
    await farebox.committer.submit(RequestApproval(TopUp(seeds.merchant_id, 1_000_000, "waits"), 1))
    service = (await farebox.services.merchants.create_key(KeyKind.SERVICE, name="recognition")).key
    held = await farebox.services.operations.hold(HoldRequest(seeds.merchant, "image", "people"), caller=None)
    given = await farebox.committer.submit(GiveCredit(seeds.merchant_id, 1_000_000, "GIVEN", "trial"))
    assert held.hold is not None
    assert given.grant is not None
    there = await add_destinations(farebox, seeds.merchant_id)
    return {
        "/support/keys/{key:str}": f"/support/keys/{ids.public_id(ids.KEY, service.key_id)}",
        "{merchant:str}": seeds.merchant,
        "{merchant_id:str}": seeds.merchant,
        "{transfer:str}": ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=1),
        "{key:str}": ids.public_id(ids.KEY, own.key_id),
        "/support/webhooks/{destination:str}": f"/support/webhooks/{there['operators']}",
        "{destination:str}": there["destination"],
        "{destination_id:str}": there["destination"],
        "{event:str}": there["event"],
        "{approval:str}": "appr_0000000000001",
        "{hold:str}": held.hold.id,
        "{kind:str}": "weekly",
        "{grant:str}": given.grant.id,
        "{link:str}": "0000000000000.AAAA",
    }
