"""Pages in their reader's language: chosen, named by the browser, or the operator's; whole pages, never half of one."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

import farebox as package
from farebox.bootstrap import Farebox
from farebox.service.people.users import Realm
from farebox.web.pages.form_messages import FORM_MESSAGES
from tests.support.app_client import AppClient
from tests.web.console.visitor import FORM, Visitor, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

GERMAN: Final = ("accept-language", "de-CH,de;q=0.9,en;q=0.1")
SOURCES: Final = Path(package.__file__).parent
VALUE: Final = r"(?:\\d[\\d,_]*|\\{[^{}]+\\}|whsec_)"
"""How a number or the prefix of secrets stands in the code: as it is, or as a place in an f-string."""

KNOWN: Final = SOURCES / "web" / "pages" / "form_messages.py"


@pytest_asyncio.fixture(loop_scope="module")
async def ann(farebox: Farebox, client: AppClient) -> AsyncIterator[Visitor]:
    """A user who chose no language."""
    number = len(await farebox.stores.logins.list(Realm.MERCHANT))
    yield await Visitor.sign_in(farebox, client, Realm.MERCHANT, f"ann-{number}@languages.example")


async def language_of(visitor: Visitor) -> str:
    login = await visitor.farebox.stores.logins.get(visitor.signed_in.login.login_id)
    assert login is not None
    return login.language


async def test_what_forms_say_stands_where_it_is_raised() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted(SOURCES.rglob("*.py")) if path != KNOWN)
    sources = re.sub(r'"\s*\n\s*f?"', "", sources).casefold()
    for message in FORM_MESSAGES:
        for part in re.split(r"[;:] |, with|%\(\w+\)s", message.casefold()):
            pattern = re.sub(r"\d[\d,]*|whsec_", VALUE, re.escape(part.strip(" .")))
            assert re.search(pattern, sources), (message, part)


async def test_who_is_not_signed_in_is_spoken_to_as_the_browser_says(client: AppClient) -> None:
    for path, told in (("/sign-in", "Zum ersten Mal hier"), ("/forgotten", "Link zusenden"), ("/link/x", "verbraucht")):
        reply = await client.get(path, headers=[GERMAN])
        assert '<html lang="de" dir="ltr"' in reply.body.decode()
        assert told in words(reply)
        assert '<html lang="en"' in (await client.get(path)).body.decode()


async def test_what_was_wrong_is_said_in_the_readers_language(client: AppClient) -> None:
    reply = await client.send(
        "POST", "/sign-in", headers=[GERMAN, FORM], body=b"email=nobody@languages.example&password=x"
    )
    assert 401 == reply.status
    assert "Die E-Mail-Adresse, das Passwort oder der Einmalcode ist falsch" in words(reply)


async def test_a_language_is_chosen_in_the_profile(ann: Visitor) -> None:
    assert "Sprache" not in await ann.page("/profile")
    page = await ann.done("/profile/language", language="de")
    assert "Von jetzt an sprechen wir Sie in dieser Sprache an." in page
    assert "Ihr jetziges Passwort" in page
    assert "de" == await language_of(ann)
    french = await ann.client.get("/profile", headers=[ann.cookie, ("accept-language", "fr")])
    assert '<html lang="de"' in french.body.decode()
    await ann.wrong("/profile/language", language="tlh")
    assert "de" == await language_of(ann)


async def test_the_console_is_english(client: AppClient) -> None:
    assert '<html lang="en"' in (await client.get("/support/sign-in", headers=[GERMAN])).body.decode()
