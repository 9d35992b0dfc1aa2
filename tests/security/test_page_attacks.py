"""Attacks on the pages: forged forms, fixed sessions, odd requests, names that hold markup."""

import html
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from farebox.bootstrap import Farebox
from farebox.config import Settings
from farebox.service.people.users import Realm
from farebox.storage.records import Login
from farebox.web.pages import render
from farebox.web.pages.assets import asset_url
from farebox.web.pages.forms import FIELDS_MAX, FORM_BYTES_MAX
from farebox.web.pages.sign_in import next_page
from farebox.web.pages.throttle import SignInThrottle
from tests.security.people import Site, open_site
from tests.support.app_client import AppClient, Reply, open_client
from tests.support.effort import examples
from tests.web.console.visitor import FORM, Visitor, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD: Final = "seven quiet lanterns"
HOST: Final = ("host", "pay.example")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with open_site(tmp_path_factory.mktemp("ledger")) as site:
        hashed = await site.farebox.passwords.hash(PASSWORD)
        await site.farebox.stores.logins.add(Login(7, Realm.MERCHANT, "eve@northwind.example", "Eve", 0, hashed))
        yield site


@asynccontextmanager
async def secure(folder: Path, public_url: str) -> AsyncIterator[tuple[Farebox, AppClient]]:
    """Open parts that are reached at a URL, and somebody called Ann."""
    farebox = Farebox.build(Settings.of(database_url=f"sqlite:///{folder / 'farebox.db'}", public_url=public_url))
    await farebox.stores.connector.migrate(farebox.clock.now())
    async with farebox.running():
        hashed = await farebox.passwords.hash(PASSWORD)
        await farebox.stores.logins.add(Login(7, Realm.MERCHANT, "ann@northwind.example", "Ann", 0, hashed))
        yield farebox, await open_client(farebox)


async def sign_in(
    client: AppClient, *headers: tuple[str, str], email: str = "eve@northwind.example", **fields: str
) -> Reply:
    """Fill in the form by which one signs in."""
    body = urlencode({"email": email, "password": PASSWORD, **fields}).encode()
    return await client.send("POST", "/sign-in", headers=[FORM, HOST, *headers], body=body)


def cookies(reply: Reply) -> dict[str, str]:
    """Return the cookies that an answer sets, and their attributes."""
    found = [value for name, value in reply.headers if name.lower() == "set-cookie"]
    return {text.partition("=")[0]: text.partition("=")[2] for text in found}


# Forms from elsewhere.


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ([], True),
        ([("sec-fetch-site", "same-origin")], True),
        ([("sec-fetch-site", "none")], True),
        ([("sec-fetch-site", "cross-site")], False),
        ([("sec-fetch-site", "same-site")], False),
        ([("sec-fetch-site", "")], False),
        ([("sec-fetch-site", "cross-site"), ("origin", "http://pay.example")], False),
        ([("origin", "http://pay.example")], True),
        ([("origin", "https://evil.example")], False),
        ([("origin", "http://pay.example:8080")], False),
        ([("origin", "http://pay.example.evil.example")], False),
        ([("origin", "http://user@pay.example")], False),
        ([("origin", "null")], False),
        ([("origin", "")], False),
        ([("origin", "http://[")], False),
    ],
)
async def test_a_form_is_taken_from_a_page_of_ours_alone(
    site: Site, headers: list[tuple[str, str]], is_taken: bool
) -> None:
    """With the right token, and where there is none yet: signing in."""
    owner = site.visitors["owner"]
    body = urlencode({"csrf_token": owner.csrf_token, "password_old": "wrong", "password_new": "wrong"}).encode()
    reply = await site.client.send("POST", "/profile/password", headers=[owner.cookie, FORM, HOST, *headers], body=body)
    assert (422 if is_taken else 403) == reply.status, words(reply)
    reply = await sign_in(site.client, *headers)
    assert (303 if is_taken else 403) == reply.status, words(reply)
    assert is_taken == ("farebox" in cookies(reply))


async def test_a_form_carries_its_own_sessions_token(site: Site) -> None:
    owner = site.visitors["owner"]
    again = await owner.farebox.services.sign_in.begin(
        owner.signed_in.login, site.farebox.clock.now(), address=None, agent=""
    )
    others = Visitor(owner.farebox, owner.client, again).csrf_token
    for csrf_token in (
        "",
        others,
        site.visitors["member"].csrf_token,
        owner.csrf_token[:-1],
        owner.csrf_token.upper(),
        f" {owner.csrf_token}",
        "ü",
    ):
        reply = await owner.post("/profile/sessions", csrf_token=csrf_token)
        assert 403 == reply.status, csrf_token
        assert "This form is from another session" in words(reply)
    body = urlencode([("csrf_token", "x"), ("csrf_token", owner.csrf_token)]).encode()
    assert 403 == (await site.ask("POST", "/profile/sessions", "owner", body)).status
    # In the address it counts for nothing: addresses are kept and told on.
    assert 403 == (await site.ask("POST", f"/profile/sessions?csrf_token={owner.csrf_token}", "owner")).status


@pytest.mark.parametrize(
    "media",
    ["application/json", "text/plain", "multipart/form-data; boundary=x", "", "application/x-www-form-urlencode"],
)
async def test_only_a_form_is_a_form(site: Site, media: str) -> None:
    owner = site.visitors["owner"]
    body = f"csrf_token={owner.csrf_token}".encode()
    headers = [owner.cookie, *([("content-type", media)] if media else [])]
    reply = await site.client.send("POST", "/profile/sessions", headers=headers, body=body)
    assert 415 == reply.status
    assert "This is not a form of this page" in words(reply)


# Sessions and cookies.


async def test_a_session_that_was_there_before_is_not_the_one_after(site: Site) -> None:
    """Neither one that an attacker made up, nor one of their own, becomes the session of whoever signs in."""
    for before in ("made-up", site.visitors["stranger"].signed_in.token):
        csrf_token = site.visitors["stranger"].csrf_token if before != "made-up" else ""
        reply = await sign_in(site.client, ("cookie", f"farebox={before}"), csrf_token=csrf_token)
        assert 303 == reply.status
        token = cookies(reply)["farebox"].partition(";")[0]
        assert len(token) >= 43
        assert before != token
        old = await site.client.get("/profile", headers=[("cookie", f"farebox={before}")])
        assert (303, "/sign-in?next=%2Fprofile") == (old.status, old.header("location"))
        assert 200 == (await site.client.get("/profile", headers=[("cookie", f"farebox={token}")])).status
    site.visitors["stranger"] = site.visitors["owner"]


@pytest.mark.parametrize(
    ("public_url", "name", "more"),
    [
        ("http://pay.example", "farebox", set()),
        ("https://pay.example/", "__Host-farebox", {"secure"}),
    ],
)
async def test_a_sessions_cookie_is_for_our_server_alone(
    tmp_path: Path, public_url: str, name: str, more: set[str]
) -> None:
    async with secure(tmp_path, public_url) as (_, client):
        reply = await sign_in(client, email="ann@northwind.example")
        (known,) = cookies(reply)
        assert name == known
        token, *attributes = cookies(reply)[name].split("; ")
        assert {"httponly", "path=/", "samesite=lax", *more} == {it.lower() for it in attributes}
        cookie = ("cookie", f"{name}={token}")
        page = await client.get("/profile", headers=[cookie])
        csrf_token = re.search(r'name="csrf_token" value="(\w+)"', page.body.decode())
        assert csrf_token is not None
        assert token not in page.body.decode()
        # A cookie that anybody on the way may set is none where there is a better one.
        if more:
            plain = await client.get("/profile", headers=[("cookie", f"farebox={token}")])
            assert 303 == plain.status
        out = await client.send(
            "POST", "/sign-out", headers=[cookie, FORM], body=f"csrf_token={csrf_token[1]}".encode()
        )
        assert {"max-age=0"} <= {it.lower() for it in cookies(out)[name].split("; ")}
        assert 303 == (await client.get("/profile", headers=[cookie])).status


# Being led elsewhere.

ELSEWHERE: Final = (
    *(
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "https:evil.example",
        "evil.example",
    ),
    *("/%2f%2fevil.example", "//evil.example/accounts", "/accounts\r\nLocation: https://evil.example", "/accounts\n"),
    *(
        "javascript:alert(1)",
        "/accounts@evil.example",
        "/accounts/../../evil",
        "/accountsevil",
        "/accounts.evil.example",
    ),
    *(
        "/accounts/\u2028x",
        "/accounts#//evil",
        " /accounts",
        "/accounts ",
        "/sign-out",
        "/link/x",
        "/api/balance",
        "\t//e",
    ),
)


@pytest.mark.parametrize("target", ELSEWHERE)
async def test_who_signs_in_stays_on_our_pages(site: Site, target: str) -> None:
    reply = await sign_in(site.client, next=target)
    assert (303, "/accounts") == (reply.status, reply.header("location"))
    owner = site.visitors["owner"]
    for written in (quote(target, safe=""), quote(quote(target, safe=""), safe="")):
        reply = await owner.get(f"/sign-in?next={written}")
        assert (303, "/accounts") == (reply.status, reply.header("location"))


@given(st.text(alphabet="/\\:@.?#%&= \r\n\taceilnopstuvx0-_é"))
async def test_where_one_is_led_is_a_path_of_ours(text: str) -> None:
    target = next_page(text, "/home")
    assert target == "/home" or re.fullmatch(r"/(accounts|support|profile)([/?][!-~]*)?", target)
    assert "\\" not in target


async def test_who_has_to_sign_in_comes_back_to_the_page_that_was_asked_for(site: Site) -> None:
    reply = await site.client.get(f"/accounts/{site.seeds.merchant}/statement?kind=charge&x=%2F%2Fe")
    target = reply.header("location") or ""
    assert f"/sign-in?next=%2Faccounts%2F{site.seeds.merchant}%2Fstatement%3Fkind%3Dcharge%26x%3D%252F%252Fe" == target
    shown = html.unescape((await site.client.get(target)).body.decode())
    assert f'value="/accounts/{site.seeds.merchant}/statement?kind=charge&x=%2F%2Fe"' in shown


@pytest.mark.parametrize("name", ["azure/gpt-5.1@eu:batch", "bedrock/*/cohere~(v1)[x]+y"])
async def test_who_has_to_sign_in_comes_back_to_a_request_type_of_any_name(site: Site, name: str) -> None:
    page = f"/accounts/{site.seeds.merchant}/statement?"
    for query in (f"type={name}", urlencode({"type": name}), f"type={quote(name, safe='')}"):
        target = (await site.client.get(page + query)).header("location") or ""
        assert f'value="{page}{query}"' in html.unescape((await site.client.get(target)).body.decode())


async def test_a_part_of_a_page_is_not_filled_with_the_sign_in_page(site: Site) -> None:
    reply = await site.client.get(f"/accounts/{site.seeds.merchant}/now", headers=[("hx-request", "true")])
    assert (401, "true", b"") == (reply.status, reply.header("hx-refresh"), reply.body)


# Odd requests.


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"email=%ff&password=x", 400),
        (b"email=\xff", 400),
        ("email=ü".encode(), 400),
        (b"email", 400),
        (b"&".join(b"f=1" for _ in range(FIELDS_MAX + 1)), 400),
        (b"email=" + b"x" * FORM_BYTES_MAX, 413),
        (b"email=" + b"x" * 11_000_000, 413),
        (b"", 401),
        (b"email=%zz&password=%", 401),
        (b"email=%00&password=%00", 401),
        (b"email=%ed%a0%80", 400),
        (b"password=x&password=y", 401),
        (b"&".join(b"f=1" for _ in range(FIELDS_MAX)), 401),
        (b"email=" + b"x" * (FORM_BYTES_MAX - 6), 401),
    ],
)
async def test_a_form_has_limits_and_what_breaks_them_is_told_on_a_page(site: Site, body: bytes, status: int) -> None:
    length = ("content-length", str(len(body)))
    reply = await site.client.send("POST", "/sign-in", headers=[FORM, length], body=[body[:7], body[7:]])
    assert status == reply.status
    assert b"<h1>" in reply.body
    assert "Traceback" not in words(reply)


async def test_a_form_that_breaks_off_is_no_fault_of_ours(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "farebox")
    reply = await site.client.send("POST", "/sign-in", headers=[FORM], body=b"email=a", is_cut_short=True)
    assert 400 == reply.status
    assert [] == caplog.records


HOSTILE_HEADERS: Final = (
    *(("host", value) for value in ("[", "evil.example/x?y#", "", "a" * 5000, "ü", "pay.example:99999")),
    *(
        ("cookie", value)
        for value in ("farebox=", "farebox=%00", "farebox=é", "=;=;;", "farebox", 'farebox="x', "farebox=\\")
    ),
    *(
        ("cookie", f"farebox-zone={value}")
        for value in ("..%2F..%2Fetc%2Fpasswd", "/etc/passwd", "Europe", "posixrules")
    ),
    *(
        ("cookie", f"farebox-zone={value}")
        for value in ("%00", "x" * 3000, "é", "tzdata.zi", "./Europe/Berlin", '"><script>')
    ),
    *(("cookie", f"farebox-theme={value}") for value in ('"><script>', "light dark", "é")),
    *(("accept", value) for value in ("", "text/html;q=", "*/*", "\xff")),
    *(("user-agent", value) for value in ("<script>alert(1)</script>", "\xff", "")),
    ("x-forwarded-for", "1.2.3.4"),
)


@pytest.mark.parametrize("header", HOSTILE_HEADERS, ids=lambda header: f"{header[0]}: {header[1][:20]}")
async def test_no_header_breaks_a_page(site: Site, caplog: pytest.LogCaptureFixture, header: tuple[str, str]) -> None:
    caplog.set_level(logging.ERROR, "farebox")
    name, value = header
    raw = (name, value.encode("utf-8"))
    owner, support = site.visitors["owner"], site.visitors["support"]
    both = f"{owner.cookie[1]}; {support.cookie[1]}"
    for path in ("/sign-in", "/profile", f"/accounts/{site.seeds.merchant}", "/support", "/nothing", "/accounts/x"):
        known: Any = ("cookie", f"{value}; {both}".encode()) if name == "cookie" else raw
        headers = [known, *([] if name == "cookie" else [("cookie", both)])]
        reply = await site.client.get(path, headers=headers)
        assert reply.status in (200, 303, 404, 400), (path, reply)
        assert "<script>" not in reply.body.decode()
        assert render.POLICY == reply.header("content-security-policy")
    assert [] == caplog.records


@given(st.text(max_size=30))
@examples(100)
async def test_no_zone_breaks_a_page(site: Site, zone: str) -> None:
    cookie = f"farebox-zone={quote(zone)}; {site.visitors['owner'].cookie[1]}"
    assert 200 == (await site.client.get("/profile", headers=[("cookie", cookie)])).status


@pytest.mark.parametrize(
    "path", ["/support", "/support/audit", "/support/outbox", "/support/prices", "/sign-in", "/profile"]
)
@pytest.mark.parametrize(
    "query", ["q=%00", "q=%ff", "q=%ED%A0%80", "page=-1", "page=9999999999", "cursor=x", "sort=x", "flash=x"]
)
async def test_no_query_breaks_a_page(site: Site, path: str, query: str) -> None:
    reply = await site.ask("GET", f"{path}?{query}", "support")
    assert reply.status < 500, words(reply)


async def test_what_a_page_says_was_done_is_said_by_us(site: Site) -> None:
    reply = await site.client.get("/sign-in?flash=%3Cb%3ESend+me+money%3C%2Fb%3E")
    assert "Send me money" not in words(reply)
    assert "You are signed out." in words(await site.client.get("/sign-in?flash=signed_out"))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/nothing", 404),
        ("GET", "/accounts/mer_0000000000000/nothing", 404),
        ("GET", "/assets/nothing/farebox.css", 404),
        ("GET", "/assets/nothing/nothing", 404),
        ("GET", "/assets/../access.py", 404),
        ("POST", "/profile", 405),
        ("DELETE", "/profile", 405),
        ("GET", "/sign-out", 405),
    ],
)
async def test_an_error_is_a_page_for_browsers_and_safe_for_all(
    site: Site, method: str, path: str, status: int
) -> None:
    for accept, begins in (("text/html,*/*", b"<!doctype html>"), ("*/*", b"")):
        reply = await site.client.send(method, path, headers=[("accept", accept), FORM, site.visitors["owner"].cookie])
        assert status == reply.status
        assert reply.body.startswith(begins)
        assert render.HEADERS.items() <= {render_name(name): value for name, value in reply.headers}.items()
        if status == 405:
            assert reply.header("allow")


@pytest.mark.parametrize("name", ["farebox.css", "farebox.js", "htmx.js", "icon.svg"])
async def test_a_file_of_the_pages_is_kept_for_ever_under_an_address_of_its_own(site: Site, name: str) -> None:
    url = asset_url(name)
    reply = await site.client.get(url)
    assert 200 == reply.status
    assert "public, max-age=31536000, immutable" == reply.header("cache-control")
    assert "nosniff" == reply.header("x-content-type-options")
    assert reply.header("etag") is None
    assert reply.header("set-cookie") is None
    assert 200 == (await site.client.send("HEAD", url)).status
    _, _, digest, _ = url.split("/")
    for other in (f"/assets/{digest[:-1]}/{name}", f"/assets/{digest}/x{name}", f"/assets/{digest}/../{name}"):
        assert 404 == (await site.client.get(other)).status


# Names that hold markup.

NASTY: Final = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}&amp;"


async def test_whatever_somebody_is_called_is_shown_and_not_run(site: Site) -> None:
    farebox, seeds = site.farebox, site.seeds
    await farebox.services.merchants.rename(seeds.merchant_id, NASTY)
    await farebox.services.operations.top_up(seeds.merchant_id, amount="5", reference=NASTY, note=NASTY, principal=None)
    owner = site.visitors["owner"]
    await farebox.services.sign_in.begin(owner.signed_in.login, farebox.clock.now(), address=NASTY, agent=NASTY)
    root, console = f"/accounts/{seeds.merchant}", f"/support/merchants/{seeds.merchant}"
    told = 0
    for who, path in [
        *(
            ("owner", it)
            for it in ("/accounts", "/profile", root, f"{root}/now", f"{root}/statement", f"{root}/people")
        ),
        *(("owner", f"{root}/{it}") for it in ("alerts", "keys", "prices", "developers")),
        *(("support", it) for it in ("/support", console, f"{console}/transfers", "/support/audit", root)),
        ("support", f"/support?q={quote(NASTY)}"),
        ("support", "/support?q=script"),
        ("nobody", f"/sign-in?next={quote(NASTY)}"),
    ]:
        reply = await site.ask("GET", path, who)
        assert reply.status in (200, 303), (path, words(reply))
        page = reply.body.decode()
        told += "&lt;script&gt;" in page
        # Nothing of it is a tag, ends an attribute, or is taken for a template.
        assert "<script>" not in page, path
        assert "<img src=x" not in page, path
        assert "49&" not in page, path
        assert not re.search(r'="[^"<>]*"\'>', page), path
    assert told >= 8
    body = urlencode({"email": NASTY, "next": NASTY, "password": NASTY}).encode()
    reply = await site.ask("POST", "/sign-in", "nobody", body)
    assert 401 == reply.status
    assert "<script>" not in reply.body.decode()
    assert html.escape(NASTY, quote=False).replace('"', "&#34;").replace("'", "&#39;") in reply.body.decode()


# Guessing.


async def test_who_guesses_is_slowed_and_told_how_long(site: Site) -> None:
    client = await open_client(site.farebox, throttle=SignInThrottle(lambda: 0.0))
    statuses = [(await sign_in(client, password=f"guess {number}")).status for number in range(14)]
    assert [401] * 12 + [429] * 2 == statuses
    reply = await sign_in(client)
    assert "5" == reply.header("retry-after")
    assert "Those were too many tries. Try again in 5 seconds" in words(reply)
    # It is the address that is slowed: another account from there as well, and mails.
    assert 429 == (await sign_in(client, email="nobody@northwind.example")).status
    limited = await client.send("POST", "/forgotten", headers=[FORM], body=b"email=eve%40northwind.example")
    assert 429 == limited.status


@asynccontextmanager
async def proxied(folder: Path) -> AsyncIterator[AppClient]:
    """Make a client behind a proxy that tells where requests come from."""
    database_url = f"sqlite:///{folder / 'farebox.db'}"
    farebox = Farebox.build(Settings.of(database_url=database_url, trusted_proxies="127.0.0.1"))
    await farebox.stores.connector.migrate(farebox.clock.now())
    async with farebox.running():
        hashed = await farebox.passwords.hash(PASSWORD)
        await farebox.stores.logins.add(Login(7, Realm.MERCHANT, "ann@münchen.example", "Ann", 0, hashed))
        yield await open_client(farebox)


async def guess(client: AppClient, address: str, email: str = "ann@münchen.example", password: str = "wrong") -> int:
    return (await sign_in(client, ("x-forwarded-for", address), email=email, password=password)).status


async def test_an_account_is_guarded_from_everywhere_however_its_address_is_written(tmp_path: Path) -> None:
    written = [
        "ann@münchen.example",
        "ANN@MÜNCHEN.example",
        "ann@xn--mnchen-3ya.example",
        "ann@münchen.EXAMPLE",
        "ann@\uff4dünchen.example",
    ]
    async with proxied(tmp_path) as client:
        found = [await guess(client, f"203.0.113.{number}", written[number % len(written)]) for number in range(15)]
        assert [401] * 12 + [429] * 3 == found


async def test_a_subscriber_of_the_network_is_one_source_however_many_addresses_they_have(tmp_path: Path) -> None:
    async with proxied(tmp_path) as client:
        found = [await guess(client, f"2001:db8::{number:x}", f"{number}@x.example") for number in range(14)]
        assert [401] * 12 + [429] * 2 == found
        assert 401 == await guess(client, "2001:db8:0:1::1", "another@x.example")


async def test_who_guesses_elsewhere_does_not_keep_the_owner_out(tmp_path: Path) -> None:
    household = "203.0.113.200"
    async with proxied(tmp_path) as client:
        assert 303 == await guess(client, household, password=PASSWORD)
        for number in range(20):
            await guess(client, f"203.0.113.{number}")
        assert 429 == await guess(client, "203.0.113.100", password=PASSWORD)
        assert 303 == await guess(client, household, "ann@MÜNCHEN.example", PASSWORD)
        # An address that has signed in before may guess as often as any other, not more.
        found = [await guess(client, household) for _ in range(12)]
        assert 429 == found[-1]


def render_name(name: str) -> str:
    """Write a header's name as render.HEADERS does."""
    return next((known for known in render.HEADERS if known.lower() == name.lower()), name)
