"""How pages become answers: the templates, what their values look like to people, and the headers of every page."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from importlib.resources import files
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.responses import Response

from farebox.core import ids
from farebox.core.accounts import EFFECTS, Kind
from farebox.core.approvals import REQUEST_NAMES
from farebox.core.currencies import format_money, round_for_glance
from farebox.core.staff_roles import roles_in_words
from farebox.core.transfers import Transfer
from farebox.presenters.alert_words import alert_words, cause_words
from farebox.presenters.approvals import APPROVAL_STATE_WORDS
from farebox.presenters.audit_words import actor_words, audit_words, called
from farebox.presenters.charge_words import quantities_words
from farebox.presenters.grant_words import ends_words, given_words, requested_terms, terms_words, types_words
from farebox.presenters.grants import grant_transfer_id
from farebox.presenters.holds import span_words
from farebox.presenters.keys import KEY_KIND_WORDS, has_ended, key_state
from farebox.presenters.price_words import rule_words
from farebox.presenters.prices import price_words
from farebox.presenters.times import MONTHS, at
from farebox.presenters.users import user_role
from farebox.service.insight.forecast import Runway
from farebox.service.insight.runway_words import days_left, lasts, likely
from farebox.service.languages import ENGLISH, Language, language
from farebox.service.people.users import ROLES
from farebox.service.request_words import requested
from farebox.service.template_messages import message_functions
from farebox.web.pages.assets import asset_url
from farebox.web.pages.columns import align_columns

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
MAIL_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""Of a mail that is shown as it is: its styles and images are within it, and nothing is loaded or run."""

HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Links in mails hold a token, which is nobody's business elsewhere.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # What one reader saw must not be there for the next one at the same browser.
    "Cache-Control": "no-store",
}

MAIL_HEADERS: Final = {**HEADERS, "Content-Security-Policy": MAIL_POLICY}

TRANSLATED: Final = frozenset(
    {
        "accounts.html",
        "forgotten.html",
        "link.html",
        "link_expired.html",
        "profile.html",
        "sign_in.html",
        "two_factor.html",
        "unsubscribe.html",
        "unsubscribe_invalid.html",
    }
)
"""The pages of which every word is a message; all others are in English, whoever reads them, and never half of them."""

_SHOWN_KINDS: Final = (
    *(Kind.CHARGE, Kind.HOLD, Kind.CAPTURE, Kind.REFUND, Kind.TOP_UP_REVERSAL, Kind.GRANT, Kind.GRANT_EXPIRY),
)
"""The kinds that templates know by name."""

_TEMPLATES: Final = files("farebox.web") / "pages" / "templates"
_KINDS: Final = {
    Kind.TOP_UP: "Top-up",
    Kind.TOP_UP_REVERSAL: "Top-up taken back",
    Kind.CHARGE: "Charge",
    Kind.REFUND: "Refund",
    Kind.HOLD: "Held",
    Kind.CAPTURE: "Captured",
    Kind.RELEASE: "Released",
    Kind.EXPIRE: "Hold expired",
    Kind.ADJUSTMENT_CREDIT: "Adjustment",
    Kind.ADJUSTMENT_DEBIT: "Adjustment",
    Kind.GRANT: "Given credit",
    Kind.GRANT_EXPIRY: "Given credit ended",
}
_BROWSERS: Final = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS: Final = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def page(template: str, values: Mapping[str, Any], *, status: int = 200, spoken: Language = ENGLISH) -> Response:
    """Answer with a page, in a language."""
    environment = _environment(spoken.code)
    return Response(
        align_columns(environment.get_template(template).render(values)),
        status_code=status,
        media_type="text/html",
        headers=dict(HEADERS),
    )


def mail(text: str) -> Response:
    """Answer with a mail's HTML, as it is."""
    return Response(text, media_type="text/html", headers=dict(MAIL_HEADERS))


def spoken_on(template: str, reader: Language) -> Language:
    """Tell which language a page is in: its reader's if the whole of it is translated."""
    return reader if template in TRANSLATED else ENGLISH


def redirect(url: str) -> Response:
    """Send the browser to another page of ours, to be read: what was posted is not posted again by a reload."""
    return Response(status_code=303, headers={**HEADERS, "Location": url}, media_type="text/plain")


def file_headers(name: str) -> dict[str, str]:
    """Write the headers of a file that the browser keeps under this name."""
    return {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}


def csv_file(name: str, body: bytes) -> Response:
    """Answer with a CSV file that is made already."""
    return Response(body, media_type="text/csv", headers=file_headers(name))


def short_money(micros: int, currency: str) -> str:
    """Write an amount for a glance: rounded towards zero to the currency's decimals."""
    return format_money(round_for_glance(micros, currency), currency)


def _days_left(runway: Runway, zone: ZoneInfo) -> int | None:
    """Count the days on the calendar until the money is used up; None if it is over a year."""
    return days_left(runway, runway.until, zone)


def number(value: int) -> str:
    """Write a whole number, its thousands apart."""
    return f"{value:,}"


def moment(micros: int, zone: ZoneInfo) -> Markup:
    """Write a time for people, and exactly for machines and a pointer that rests on it."""
    time = at(micros, zone)
    words = f"{time.day} {MONTHS[time.month - 1]} {time.year}, {time:%H:%M:%S}"
    return Markup('<time datetime="{}" title="{} {}">{}</time>').format(time.isoformat(), words, time.tzname(), words)


def day(micros: int, zone: ZoneInfo) -> str:
    """Write a day: Fri 27 Nov, with its year if that is far."""
    time = at(micros, zone)
    return f"{_WEEKDAYS[time.weekday()]} {_day_of(time)}"


def clock_time(micros: int, zone: ZoneInfo, *, spoken: Language = ENGLISH) -> Markup:
    """Write the time of a day, if it is today, else the day, with its year if that is far, and the time."""
    time = at(micros, zone)
    is_today = time.date() == datetime.now(zone).date()
    words = f"{time:%H:%M:%S}" if is_today else f"{_day_of(time, spoken)}, {time:%H:%M}"
    return Markup('<time datetime="{}">{}</time>').format(time.isoformat(), words)


def _day_of(time: datetime, spoken: Language = ENGLISH) -> str:
    is_near = abs(time - datetime.now(time.tzinfo)) < timedelta(days=180)
    return spoken.short_day(time, is_year_shown=not is_near)


def joined(words: Sequence[str]) -> str:
    """List words as people do: Ann, Ben and Carla."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def kind_words(kind: int) -> str:
    """Say what kind of transfer one is."""
    return _KINDS[Kind(kind)]


def request_words(kind: int) -> str:
    """Say what kind of move, or change, a request for approval is about."""
    return REQUEST_NAMES[kind].capitalize()


def what(transfer: Transfer, currency: str) -> str:
    """Say in a few words what a transfer was: image x 3; chat: 1,200 input: refund; top-up INV-1."""
    words = _KINDS[Kind(transfer.kind)]
    if transfer.request_type is None:
        return f"{words} {transfer.reference}" if transfer.reference else words
    request = requested(transfer)
    if transfer.kind == Kind.CAPTURE:
        # The available balance is as it was, so the amount is told here.
        words = f"{format_money(transfer.amount, currency)} {words}"
    return request if transfer.kind == Kind.CHARGE else f"{request}: {words.lower()}"


def wallet_before(transfer: Transfer) -> int:
    """Tell what was available before a transfer, in micros."""
    return transfer.wallet_after - EFFECTS[Kind(transfer.kind)].wallet * transfer.amount


def effect(transfer: Transfer, currency: str) -> Markup:
    """Write what a transfer did to the available balance, with its sign."""
    change = EFFECTS[Kind(transfer.kind)].wallet * transfer.amount
    return Markup("{}{}").format("+" if change > 0 else "", format_money(change, currency))


def browser_name(agent: str, *, spoken: Language = ENGLISH) -> str:
    """Name a browser and its system as people do, of what it calls itself; all claim to be several."""
    browser = next((name for word, name in _BROWSERS if word in agent), spoken.gettext("Another browser"))
    system = next((name for word, name in _SYSTEMS if word in agent), "")
    return spoken.gettext("%(browser)s on %(system)s", browser=browser, system=system) if system else browser


def public_id(kind: str, number: int) -> str:
    """Write the public id of a merchant ("mer"), key ("key") and the like."""
    return ids.public_id(f"{kind}_", number)


@cache
def _environment(code: str) -> Environment:
    spoken = language(code)
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        money=spoken.amount,
        short_money=short_money,
        lasts=lasts,
        likely=likely,
        days_left=_days_left,
        number=spoken.number,
        moment=moment,
        day=day,
        alert_words=alert_words,
        cause_words=cause_words,
        clock_time=partial(clock_time, spoken=spoken),
        joined=joined,
        kind_words=kind_words,
        request_words=request_words,
        what=what,
        requested=requested,
        quantities=quantities_words,
        effect=effect,
        wallet_before=wallet_before,
        browser_name=partial(browser_name, spoken=spoken),
        public_id=public_id,
        roles_in_words=roles_in_words,
        key_state=key_state,
        has_ended=has_ended,
        key_kind=KEY_KIND_WORDS.__getitem__,
        price_words=price_words,
        rule_words=rule_words,
        user_role=user_role,
        approval_state=APPROVAL_STATE_WORDS.__getitem__,
        span_words=span_words,
        ends_words=ends_words,
        grant_transfer_id=grant_transfer_id,
        given_words=given_words,
        requested_terms=requested_terms,
        terms_words=terms_words,
        types_words=types_words,
        audit_words=audit_words,
        called=called,
        actor_words=actor_words,
    )
    environment.globals.update(
        asset_url=asset_url,
        language=spoken,
        **message_functions(spoken),
        **{kind.name: kind for kind in _SHOWN_KINDS},
        user_roles=list(ROLES),
    )
    return environment


def _source(name: str) -> str | None:
    file = _TEMPLATES.joinpath(name)
    return file.read_text(encoding="utf-8") if file.is_file() else None
