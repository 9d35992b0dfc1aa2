"""Choosing reports on pages, by users of a merchant and by staff, and looking at one."""

import re
from typing import Final

import pytest

from farebox.bootstrap import Farebox
from farebox.service.people.users import Realm, Role
from farebox.storage.report_records import ALL_MERCHANTS, ReportChoice, ReportKind
from farebox.web.pages import render
from tests.support.app_client import AppClient
from tests.support.server import Seeds, seed
from tests.web.console.visitor import FORM, Visitor, kept, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONSOLE: Final = "/support/profile/reports"
ONE_CLICK: Final = b"List-Unsubscribe=One-Click"


async def reader(farebox: Farebox, client: AppClient) -> tuple[Seeds, Visitor, str]:
    """A merchant's viewer, who may choose as anybody may, and where they do so."""
    seeds = await seed(farebox)
    email = f"reader-{seeds.merchant_id}@shop.example"
    await farebox.services.merchants.add_user(seeds.merchant_id, email, role=Role.VIEWER)
    visitor = await Visitor.sign_in(farebox, client, Realm.MERCHANT, email)
    return seeds, visitor, f"/accounts/{seeds.merchant}/alerts/reports"


async def chosen(farebox: Farebox, visitor: Visitor, merchant_id: int) -> list[ReportChoice]:
    return list(await farebox.services.report_choices.list(visitor.signed_in.login, merchant_id))


async def test_a_user_chooses_reports_and_chooses_otherwise(farebox: Farebox, client: AppClient) -> None:
    seeds, visitor, url = await reader(farebox, client)
    assert "UTC" == kept(await visitor.get(url), "zone")
    fields = {"week_start": "3", "zone": "Europe/Berlin", "statement": "1"}
    page = await visitor.done(url, report=["", "weekly", "monthly"], **fields)
    assert "It is saved which reports you get." in page
    weekly, monthly = await chosen(farebox, visitor, seeds.merchant_id)
    assert (ReportKind.WEEKLY, "Europe/Berlin", 3, 1) == (
        weekly.kind,
        weekly.zone,
        weekly.week_start,
        weekly.has_statement,
    )
    assert ReportKind.MONTHLY == monthly.kind
    shown = (await visitor.get(url)).body.decode()
    assert 3 == len(re.findall(r'type="checkbox"[^>]* checked', shown))
    assert '<option value="3" selected>Wednesday</option>' in shown
    assert "Europe/Berlin" == kept(await visitor.get(url), "zone")
    await visitor.done(url, report="", week_start="1", zone="UTC")
    assert [] == await chosen(farebox, visitor, seeds.merchant_id)
    assert "Choose reports" in await visitor.page(f"/accounts/{seeds.merchant}/alerts")


async def test_what_can_not_be_chosen_is_told_and_what_was_typed_stays(farebox: Farebox, client: AppClient) -> None:
    seeds, visitor, url = await reader(farebox, client)
    reply = await visitor.wrong(url, report=["", "monthly"], week_start="1", zone="Mars/Phobos")
    assert "is not a time zone" in words(reply)
    assert "Mars/Phobos" == kept(reply, "zone")
    assert 1 == len(re.findall(r'type="checkbox"[^>]* checked', reply.body.decode()))
    for week_start in ("0", "8", "1.5", "Monday", ""):
        await visitor.wrong(url, report=["", "weekly"], week_start=week_start, zone="UTC")
    await visitor.done(url, report=["", "daily", "\0"], week_start="1", zone="UTC")
    assert [] == await chosen(farebox, visitor, seeds.merchant_id)


async def test_staff_choose_for_themselves_and_see_a_merchants(farebox: Farebox, client: AppClient) -> None:
    seeds, visitor, url = await reader(farebox, client)
    staff = await Visitor.sign_in(farebox, client, Realm.SUPPORT, f"sam-{seeds.merchant_id}@farebox.example", "Sam")
    await staff.done(CONSOLE, report=["", "weekly"], week_start="1", zone="Asia/Tokyo", statement="1")
    (choice,) = await chosen(farebox, staff, ALL_MERCHANTS)
    assert ("Asia/Tokyo", 0) == (choice.zone, choice.has_statement)
    assert "Choose reports" in await staff.page("/support/profile")
    assert "Who runs out" in await staff.page(f"{CONSOLE}/weekly")
    assert "Last week's report" in await staff.page(f"/support/merchants/{seeds.merchant}")
    # Of a merchant's own they see what it would get, and choose nothing for it.
    assert "Refused requests" in await staff.page(f"/support/merchants/{seeds.merchant}/reports/monthly")
    assert "Each user of the account chooses for themselves" in await staff.page(url)
    assert [] == await chosen(farebox, visitor, seeds.merchant_id)


async def test_a_report_is_shown_as_its_mail_looks_and_runs_nothing(farebox: Farebox, client: AppClient) -> None:
    _, visitor, url = await reader(farebox, client)
    reply = await visitor.get(f"{url}/weekly")
    assert 200 == reply.status
    assert render.MAIL_POLICY == reply.header("content-security-policy")
    assert "script" not in render.MAIL_POLICY
    assert 'src="data:image/png;base64,iVBOR' in reply.body.decode()
    assert "cid:" not in reply.body.decode()
    for path in ("/daily", "/weekly/more", "/%00"):
        assert 404 == (await visitor.get(f"{url}{path}")).status


async def test_a_link_ends_reports_by_one_click_and_is_good_for_no_others(farebox: Farebox, client: AppClient) -> None:
    seeds, visitor, url = await reader(farebox, client)
    await visitor.done(url, report=["", "weekly", "monthly"], week_start="1", zone="UTC")
    login_id = visitor.signed_in.login.login_id
    links = farebox.services.report_links
    path = await links.url(login_id, seeds.merchant_id, ReportKind.WEEKLY, public_url="")
    assert "No more mails of this kind" in words(await client.get(path))
    assert 2 == len(await chosen(farebox, visitor, seeds.merchant_id))
    named, _, token = path.rpartition(".")
    other = await links.url(login_id, seeds.merchant_id, ReportKind.MONTHLY, public_url="")
    for forged in (
        f"{named}.{token[:-1]}",
        f"{other.rpartition('.')[0]}.{token}",
        "/unsubscribe/reports/x",
        f"{named}.",
    ):
        assert 404 == (await client.send("POST", forged, headers=[FORM], body=ONE_CLICK)).status
        assert 404 == (await client.get(forged)).status
    assert 2 == len(await chosen(farebox, visitor, seeds.merchant_id))
    for _ in range(2):
        done = await client.send("POST", path, headers=[FORM], body=ONE_CLICK)
        assert 200 == done.status
        assert "gets no more mails of this kind" in words(done)
        assert "Weekly report" in words(done)
    (choice,) = await chosen(farebox, visitor, seeds.merchant_id)
    assert ReportKind.MONTHLY == choice.kind


async def test_a_link_ends_the_reports_of_one_of_the_staff(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    staff = await Visitor.sign_in(farebox, client, Realm.SUPPORT, f"tess-{seeds.merchant_id}@farebox.example", "Tess")
    await staff.done(CONSOLE, report=["", "monthly"], week_start="1", zone="UTC")
    login_id = staff.signed_in.login.login_id
    path = await farebox.services.report_links.url(login_id, ALL_MERCHANTS, ReportKind.MONTHLY, public_url="")
    assert "All merchants" in words(await client.send("POST", path, headers=[FORM], body=ONE_CLICK))
    assert [] == await chosen(farebox, staff, ALL_MERCHANTS)
