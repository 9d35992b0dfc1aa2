"""Reports are owed once each, by however many processes at once, on both engines; and failed deliveries are told."""

import asyncio
from typing import Final

from farebox.service.reports.choices import ReportChoices, ReportKind
from farebox.service.reports.sweep import ReportSweep
from farebox.storage.records import AccountMail, DeliveryState, Login, Purpose, Realm, Role, User
from farebox.storage.report_records import ALL_MERCHANTS, FailedDelivery
from farebox.storage.stores import Stores
from tests.storage.engines import Engine
from tests.support.ledger import ANN, NOW, SECOND, HeldClock, add_merchant, fire

READERS: Final = 24
WEEK: Final = 7 * 86_400 * SECOND


async def add_readers(stores: Stores, clock: HeldClock) -> list[Login]:
    """Register users of a merchant, and let each choose both reports; one of the staff chooses too."""
    choices = ReportChoices(stores, clock)
    await add_merchant(stores)
    logins = []
    for number in range(1, READERS + 1):
        login = Login(number, Realm.MERCHANT, f"user{number}@acme.example", "", NOW)
        await stores.logins.add(login)
        await stores.users.add(User(ANN, number, login.email, NOW, Role.VIEWER))
        logins.append(login)
    staff = Login(READERS + 1, Realm.SUPPORT, "sam@farebox.example", "Sam", NOW, roles=1)
    await stores.logins.add(staff)
    for login in [*logins, staff]:
        await choices.choose(
            login,
            ALL_MERCHANTS if login is staff else ANN,
            wanted=list(ReportKind),
            zone="Europe/Berlin",
            week_start=1,
            has_statement=True,
        )
    return [*logins, staff]


async def owed(stores: Stores) -> list[tuple[int, int, str]]:
    """List what was owed: to whom, of which kind, from which day on."""
    mails = [mail for mail in await stores.account_mails.list(1_000) if mail.purpose == Purpose.REPORT]
    reports = [await stores.reports.find(mail.account_mail_id) for mail in mails]
    return sorted((report.login_id, report.kind, report.starts_on) for report in reports if report is not None)


async def test_several_processes_owe_each_report_once(engine: Engine, stores: Stores) -> None:
    clock = HeldClock()
    readers = await add_readers(stores, clock)
    others = engine.stores()
    await others.connector.open()
    sweeps = [ReportSweep(each, clock, reports_max=5) for each in (stores, others, stores, others)]

    async def sweep_all(sweep: ReportSweep) -> None:
        while await sweep.owe_due() == 0:
            pass

    weeks = ["2027-01-11", "2027-01-18", "2027-01-25"]
    try:
        for week in range(1, len(weeks) + 1):
            clock.time = NOW + week * WEEK
            await asyncio.gather(*map(sweep_all, sweeps))
            months = ["2027-01-01"] if week == 3 else []
            assert [
                (login.login_id, kind, day)
                for login in readers
                for kind, days in ((1, weeks[:week]), (2, months))
                for day in days
            ] == await owed(stores)
    finally:
        await others.connector.close()


async def test_choices_are_read_and_removed_with_their_user(stores: Stores) -> None:
    ann, *_ = await add_readers(stores, HeldClock())
    assert [1, 2] == [choice.kind for choice in await stores.reports.choices(ann.login_id, ANN)]
    await stores.reports.remove_choice(ann.login_id, ANN, ReportKind.WEEKLY)
    await stores.reports.remove_choice(ann.login_id, ANN, ReportKind.WEEKLY)
    assert [2] == [choice.kind for choice in await stores.reports.choices(ann.login_id, ANN)]
    await stores.users.remove(ANN, ann.email, is_owner_needed=False)
    assert [] == list(await stores.reports.choices(ann.login_id, ANN))
    assert None is await stores.reports.find(1)


async def test_what_was_given_up_is_told_by_channel_and_merchant(stores: Stores) -> None:
    clock = HeldClock()
    ann, *_ = await add_readers(stores, clock)
    alert, mails = await fire(stores)
    assert READERS == len(mails)
    for mail in mails[:2]:
        await stores.deliveries.settle(
            type(mail)(mail.alert, *mail.key[2:], mail.email, DeliveryState.GIVEN_UP, 1, NOW, None, "no such box")
        )
    for number, merchant_id in ((91, None), (92, ANN)):
        await stores.account_mails.add(
            AccountMail(
                number,
                Purpose.TEST,
                ann.login_id,
                merchant_id,
                ann.email,
                bytes(32),
                NOW,
                NOW + 1,
                None,
                DeliveryState.GIVEN_UP,
                1,
                NOW,
            )
        )
    start = alert.fired_at
    assert [
        FailedDelivery(0, 0, 1, ""),
        FailedDelivery(0, ANN, 1, ""),
        FailedDelivery(1, ANN, 2, "no such box"),
    ] == await stores.reports.failed_deliveries(start=start, end=start + 1)
    assert [] == await stores.reports.failed_deliveries(start=start + 1, end=start + 9)
