"""A runway in words: sentence, date and list agree, for any balance and burn, at any time of day, in any zone."""

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farebox.core.accounts import Account
from farebox.presenters.times import at
from farebox.service.insight.burn_model import DAY, HOUR
from farebox.service.insight.forecast import RUNWAY_DAYS_MAX, RUNWAY_MAX, Runway, runway_at, runway_of
from farebox.service.insight.runway_words import days_left, in_words, lasts, likely
from farebox.service.operator.console import SOON_DAYS, MerchantRow
from farebox.storage.records import Merchant, RunwaySnapshot
from farebox.web.pages import render
from tests.support.burn import even_burn
from tests.support.ledger import ANN, NOW

ZONES: Final = st.sampled_from(
    [
        *("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Chatham", "Africa/Cairo"),
        *("America/Havana", "Pacific/Apia", "Pacific/Kiritimati", "Asia/Kathmandu", "America/St_Johns"),
    ]
).map(ZoneInfo)
YEAR_2026: Final = 1_767_225_600 * 1_000_000
TIMES: Final = st.integers(YEAR_2026, YEAR_2026 + 3 * 366 * DAY)
AMOUNTS: Final = st.integers(-(10**9), 10**12) | st.integers(-5, 10**18)
BERLIN: Final = ZoneInfo("Europe/Berlin")
# The clocks of Berlin go back on 25 October 2026: that day has 25 hours.
LONG_DAY: Final = int(datetime(2026, 10, 24, 22, 0, tzinfo=UTC).timestamp()) * 1_000_000
# They go forward on 29 March 2026: what begins an hour before that day ends with it.
SHORT_DAY: Final = int(datetime(2026, 3, 28, 22, 0, tzinfo=UTC).timestamp()) * 1_000_000


def runway(hours: float, low: float | None = None, high: float | None = None, *, now: int = NOW) -> Runway:
    ends = [now + round((hours if each is None else each) * HOUR) for each in (hours, low, high)]
    return Runway(now, ends[0], ends[1], ends[2], 1)


def words_of_days(days: int) -> str:
    return f"{days:,} day{'' if days == 1 else 's'}"


@given(TIMES, ZONES, AMOUNTS, st.integers(1, 10**12))
def test_the_sentence_agrees_with_its_date(now: int, zone: ZoneInfo, spendable: int, burn: int) -> None:
    found = runway_of(even_burn(burn, fast=2 * burn, slow=burn / 3), spendable=spendable, now=now)
    words = lasts(found, zone)
    today, last = (datetime.fromtimestamp(at // 1_000_000, zone).date() for at in (now, found.until))
    days = (last - today).days
    if spendable <= 0:
        assert "used up" == words
    elif found.until - now < DAY:
        assert ("less than a day", True) == (words, days in (0, 1))
    elif words == "over a year":
        assert days > RUNWAY_DAYS_MAX
        assert days_left(found, found.until, zone) is None
    else:
        assert words_of_days(days) == words if days else words == "less than a day"
        # The date that the page shows beside it is that many days from today.
        shown = today + timedelta(days)
        assert render.day(found.until, zone).startswith(f"{shown:%a} {shown.day} {shown:%b}")
    assert (likely(found, zone) or "").count("day") <= 1
    low, usual, high = (
        RUNWAY_DAYS_MAX + 1 if (left := days_left(found, until, zone)) is None else left
        for until in (found.until_low, found.until, found.until_high)
    )
    assert low <= usual <= high


@given(TIMES, ZONES, AMOUNTS, st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 10**12))
def test_a_list_holds_those_whose_row_says_so(
    now: int, zone: ZoneInfo, wallet: int, limit: int, held: int, burn: int
) -> None:
    account = Account(ANN, "USD", wallet=max(wallet, -limit), held=held, credit_limit=limit)
    snapshot = RunwaySnapshot(ANN, 1, account.available, now, now, burn, now)
    found = MerchantRow(Merchant(ANN, "Acme", now), account, snapshot).runway(now)
    assert found == runway_at(burn, spendable=account.available + limit, now=now)
    assert found is not None
    days = days_left(found, found.until, zone)
    says_soon = {"used up", "less than a day", *(words_of_days(number) for number in range(1, SOON_DAYS + 1))}
    assert (days is not None and days <= SOON_DAYS) is (lasts(found, zone) in says_soon)


@example(LONG_DAY)
@example(SHORT_DAY)
@given(TIMES)
def test_24_hours_in_days_of_25_and_23_are_what_the_calendar_says(now: int) -> None:
    found = runway(24, now=now)
    days = (at(found.until, BERLIN).date() - at(now, BERLIN).date()).days
    assert lasts(found, BERLIN) == ("less than a day", "1 day", "2 days")[days]


def test_six_and_a_half_days_from_the_evening_on_are_seven_on_the_calendar() -> None:
    evening = int(datetime(2026, 11, 26, 20, 0, tzinfo=BERLIN).timestamp()) * 1_000_000
    found = runway(6.5 * 24, now=evening)
    assert ("7 days", "Thu 3 Dec") == (lasts(found, BERLIN), render.day(found.until, BERLIN)[:9])
    assert found.whole_days(found.until) == 6


@pytest.mark.parametrize(
    ("usual", "low", "high", "words"),
    [
        (5 * 24, 4 * 24, 7 * 24, "about 5 days, likely 4 to 7 days"),
        (5 * 24, 5 * 24, 5 * 24, "about 5 days"),
        (24, 24, 24, "about 1 day"),
        (24, 24, 48, "about 1 day, likely 1 to 2 days"),
        (3 * 24, 7, 8 * 24, "about 3 days, likely up to 8 days"),
        (3 * 24, 2 * 24, RUNWAY_MAX // HOUR, "about 3 days, likely 2 days or more"),
        (3 * 24, 7, RUNWAY_MAX // HOUR, "about 3 days"),
        (7, 6, 8, "less than a day"),
        (7, 6, 3 * 24, "less than a day, likely up to 3 days"),
        (0, 0, 0, "used up"),
        (RUNWAY_MAX // HOUR, RUNWAY_MAX // HOUR, RUNWAY_MAX // HOUR, "over a year"),
        (RUNWAY_MAX // HOUR, 30 * 24, RUNWAY_MAX // HOUR, "over a year, likely 30 days or more"),
    ],
)
def test_a_runway_in_one_phrase(usual: float, low: float, high: float, words: str) -> None:
    assert words == in_words(runway(usual, low, high), ZoneInfo("UTC"))


def test_no_runway_has_no_words() -> None:
    assert in_words(None, BERLIN) is None
