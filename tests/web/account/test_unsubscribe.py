"""Links in mails that end such mails: one click of a mail program, and nobody else's hand."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from farebox.bootstrap import Farebox
from farebox.core.alerts import AlertKind
from farebox.service.people.signing import Signer
from farebox.service.people.unsubscribing import Unsubscribing
from farebox.storage.records import Role, User
from tests.support.app_client import AppClient, Reply
from tests.support.server import seed
from tests.web.console.visitor import FORM, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

ONE_CLICK = b"List-Unsubscribe=One-Click"


@dataclass(frozen=True)
class Readers:
    """Two users of one account."""

    farebox: Farebox
    client: AppClient
    ann: User
    ben: User

    async def link(self, user: User, kind: AlertKind = AlertKind.LOW_BALANCE) -> str:
        return f"/unsubscribe/{await self.farebox.services.unsubscribing.link_text(user, kind)}"

    async def click(self, path: str, *headers: tuple[str, str], body: bytes = ONE_CLICK) -> Reply:
        return await self.client.send("POST", path, headers=[*(headers or (FORM,))], body=body)

    async def is_mailed(self, user: User, kind: AlertKind = AlertKind.LOW_BALANCE) -> bool:
        now = await self.farebox.stores.users.at(user.merchant_id, user.user_id)
        assert now is not None
        return bool(now.mail_kinds >> kind & 1)


@pytest_asyncio.fixture(loop_scope="module")
async def readers(farebox: Farebox, client: AppClient) -> AsyncIterator[Readers]:
    """An owner and a member of a new account."""
    seeds = await seed(farebox)
    for name, role in (("ann", Role.MEMBER), ("ben", Role.OWNER)):
        await farebox.services.merchants.add_user(
            seeds.merchant_id, f"{name}-{seeds.merchant_id}@shop.example", role=role
        )
    ann, ben = await farebox.stores.users.list(seeds.merchant_id)
    yield Readers(farebox, client, ann, ben)


async def test_looking_at_a_link_ends_nothing_and_its_button_does(readers: Readers) -> None:
    path = await readers.link(readers.ann)
    page = await readers.client.get(path)
    assert 200 == page.status
    assert "No more mails of this kind" in words(page)
    assert await readers.is_mailed(readers.ann)
    done = await readers.click(path)
    assert 200 == done.status
    assert f"{readers.ann.email} gets no more mails of this kind" in words(done)
    assert not await readers.is_mailed(readers.ann)
    assert await readers.is_mailed(readers.ann, AlertKind.USED_UP)
    assert await readers.is_mailed(readers.ben)


async def test_a_mail_programs_click_needs_no_session_and_may_be_multipart(readers: Readers) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'
    done = await readers.click(
        await readers.link(readers.ann), ("content-type", "multipart/form-data; boundary=b"), body=body
    )
    assert 200 == done.status
    assert not await readers.is_mailed(readers.ann)


async def test_twice_is_as_once_and_the_log_tells_of_it_once(readers: Readers) -> None:
    path = await readers.link(readers.ann)
    for _ in range(3):
        assert 200 == (await readers.click(path)).status
    entries, _ = await readers.farebox.services.audit_log.page(
        merchant_id=readers.ann.merchant_id, cursor=None, limit=50
    )
    assert 1 == len([entry for entry in entries if entry.action == "stop_mails"])


async def test_a_link_is_good_for_no_other_user_kind_or_account(readers: Readers) -> None:
    path = await readers.link(readers.ann)
    merchant, user, kind, token = path.removeprefix("/unsubscribe/").split(".")
    _, other_user, _, _ = (await readers.link(readers.ben)).removeprefix("/unsubscribe/").split(".")
    _, _, other_kind, _ = (await readers.link(readers.ann, AlertKind.USED_UP)).removeprefix("/unsubscribe/").split(".")
    forged = [
        (merchant, other_user, kind, token),
        (merchant, user, other_kind, token),
        (user, merchant, kind, token),
        (merchant, user, kind, token[:-1]),
        (merchant, user, kind, token.lower()),
        (merchant, user, kind, ""),
        (merchant, user, kind, "A" * 32),
        (f"{merchant}.{user}", kind, "", token),
    ]
    for parts in forged:
        reply = await readers.click(f"/unsubscribe/{'.'.join(parts)}")
        assert 404 == reply.status, parts
        assert "There is nothing to end" in words(reply)
    for text in ("x", "....", "%00", "a" * 5000, "%F0%9F%92%A9"):
        assert (await readers.click(f"/unsubscribe/{text}")).status in (404, 414)
    assert await readers.is_mailed(readers.ann)
    assert await readers.is_mailed(readers.ann, AlertKind.USED_UP)
    assert await readers.is_mailed(readers.ben)


async def test_who_knows_the_program_alone_can_make_no_link(readers: Readers) -> None:
    """Without a secret key the seed in the database guards them, and with one both do."""
    stores = readers.farebox.stores
    ours = await readers.link(readers.ann)
    other = Unsubscribing(stores, Signer("another key that is long enough"), readers.farebox.clock)
    assert not ours.endswith(await other.link_text(readers.ann, AlertKind.LOW_BALANCE))
    seed_bytes = await stores.logins.signing_seed()
    assert 32 == len(seed_bytes)
    assert 16 < len(set(seed_bytes))


async def test_a_user_who_left_has_nothing_to_end(readers: Readers) -> None:
    path = await readers.link(readers.ann)
    await readers.farebox.services.users.remove(
        readers.ann.merchant_id, readers.ann.email, is_owner_needed=False, principal=None
    )
    assert 404 == (await readers.click(path)).status


async def test_an_owner_is_told_that_the_account_is_used_up_whatever_they_choose(readers: Readers) -> None:
    reply = await readers.client.get(await readers.link(readers.ben, AlertKind.USED_UP))
    assert "As an owner of" in words(reply)
    assert "<form" not in reply.body.decode()


async def test_a_page_elsewhere_can_send_no_click(readers: Readers) -> None:
    path = await readers.link(readers.ann)
    reply = await readers.click(path, FORM, ("sec-fetch-site", "cross-site"))
    assert 403 == reply.status
    assert await readers.is_mailed(readers.ann)


async def test_the_page_speaks_its_readers_language(readers: Readers) -> None:
    reply = await readers.client.get(await readers.link(readers.ann), headers=[("accept-language", "de-AT, en;q=0.5")])
    assert '<html lang="de" dir="ltr"' in reply.body.decode()
    assert "Keine solchen E-Mails mehr" in words(reply)
