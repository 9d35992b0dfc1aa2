"""Somebody who is signed in, without a browser: reads pages, and fills in their forms."""

import html
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from farebox.bootstrap import Farebox
from farebox.core.staff_roles import EVERY_ROLE, NO_ROLE, StaffRole
from farebox.service.id_generator import IdGenerator
from farebox.service.people.api_keys import Principal
from farebox.service.people.sign_in import SignedIn
from farebox.storage.records import Login, Realm
from farebox.web.pages.once import new_once_token
from tests.support.app_client import AppClient, Reply

FORM: Final = ("content-type", "application/x-www-form-urlencoded")
COOKIES: Final = {Realm.SUPPORT: "farebox-support", Realm.MERCHANT: "farebox"}
_HIDDEN: Final = re.compile(r'<span class="(?:pad|more)\b[^>]*>.*?</span>')
"""What fills a column up, and what repeats on a phone the columns that it has not."""
_TAG: Final = re.compile(r"<[^>]+>")


@dataclass(frozen=True)
class Visitor:
    """A person with a session."""

    farebox: Farebox
    client: AppClient
    signed_in: SignedIn

    @classmethod
    async def sign_in(
        cls,
        farebox: Farebox,
        client: AppClient,
        realm: Realm,
        email: str,
        name: str = "",
        roles: StaffRole = EVERY_ROLE,
    ) -> "Visitor":
        """Let somebody in who has not been there before; staff have these roles."""
        login = Login(
            IdGenerator(farebox.clock).next(),
            realm,
            email,
            name or email,
            farebox.clock.now(),
            "no password",
            roles=roles if realm == Realm.SUPPORT else NO_ROLE,
        )
        await farebox.stores.logins.add(login)
        signed_in = await farebox.services.sign_in.begin(login, farebox.clock.now(), address=None, agent="a test")
        return cls(farebox, client, signed_in)

    @property
    def cookie(self) -> tuple[str, str]:
        """The header that tells who it is."""
        return ("cookie", f"{COOKIES[Realm(self.signed_in.login.realm)]}={self.signed_in.token}")

    @property
    def csrf_token(self) -> str:
        """What this session's forms carry."""
        return self.farebox.services.sign_in.csrf_token(self.signed_in)

    @property
    def principal(self) -> Principal:
        """Who it is, of the staff, to the services."""
        login = self.signed_in.login
        return Principal(login.email, roles=StaffRole(login.roles), login_id=login.login_id)

    async def get(self, path: str) -> Reply:
        """Ask for a page."""
        return await self.client.get(path, headers=[self.cookie])

    async def page(self, path: str) -> str:
        """Read a page that must be there, without its tags."""
        reply = await self.get(path)
        assert 200 == reply.status, (path, reply)
        return words(reply)

    async def post(self, path: str, **fields: str | list[str]) -> Reply:
        """Send a form with the session's token and one of its own; a list is several fields of one name."""
        tokens = {"csrf_token": self.csrf_token, "once": new_once_token(self.farebox.clock.now())}
        body = urlencode({**tokens, **fields}, doseq=True)
        return await self.client.send("POST", path, headers=[self.cookie, FORM], body=body.encode())

    async def done(self, path: str, **fields: str | list[str]) -> str:
        """Send a form that must be taken, and read the page that it leads to."""
        reply = await self.post(path, **fields)
        assert 303 == reply.status, words(reply)
        target = reply.header("location")
        assert target is not None
        return await self.page(target)

    async def wrong(self, path: str, **fields: str | list[str]) -> Reply:
        """Send a form that must be shown again."""
        reply = await self.post(path, **fields)
        assert 422 == reply.status, words(reply)
        return reply


def words(reply: Reply) -> str:
    """Return what a page says, without its tags, its spaces as one."""
    text = _HIDDEN.sub("", reply.body.decode()).replace("<wbr>", "")
    return " ".join(html.unescape(_TAG.sub(" ", text)).split())


def kept(reply: Reply, name: str) -> str:
    """Return what a field of a page holds, or the first one of several with the name."""
    found = re.search(rf'<input id="{name}(?:-1)?" name="{name}" type="[^"]+" value="([^"]*)"', reply.body.decode())
    assert found is not None, f"there is no field {name}"
    return html.unescape(found[1])
