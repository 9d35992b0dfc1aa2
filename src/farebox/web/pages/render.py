"""How pages become answers: the templates, what their values look like to people, and the headers of every page."""

from collections.abc import Callable, Mapping
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
from farebox.core.currencies import round_for_glance
from farebox.core.staff_roles import roles_in_words
from farebox.core.transfers import Transfer
from farebox.presenters.alert_words import alert_words, cause_words
from farebox.presenters.approvals import APPROVAL_STATE_WORDS
from farebox.presenters.audit_words import actor_words, audit_words, called
from farebox.presenters.grant_words import ends_words, given_words, requested_terms, terms_words, types_words
from farebox.presenters.grants import grant_transfer_id
from farebox.presenters.holds import span_words
from farebox.presenters.keys import KEY_KIND_WORDS, has_ended, key_state
from farebox.presenters.prices import price_words
from farebox.presenters.pricing.charge_words import quantities_words
from farebox.presenters.pricing.price_words import rule_words
from farebox.presenters.times import at
from farebox.presenters.users import user_role
from farebox.service.insight.forecast import Runway
from farebox.service.insight.runway_words import days_left, lasts, likely
from farebox.service.languages import ENGLISH, Language, gettext_noop, language
from farebox.service.people.users import ROLES
from farebox.service.request_words import requested
from farebox.service.template_messages import message_functions
from farebox.service.typed_amounts import amount_to_type
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

_SHOWN_KINDS: Final = (
    *(Kind.CHARGE, Kind.HOLD, Kind.CAPTURE, Kind.REFUND, Kind.TOP_UP_REVERSAL, Kind.GRANT, Kind.GRANT_EXPIRY),
)
"""The kinds that templates know by name."""

_TEMPLATES: Final = files("farebox.web") / "pages" / "templates"
_KINDS: Final = {
    Kind.TOP_UP: gettext_noop("Top-up"),
    Kind.TOP_UP_REVERSAL: gettext_noop("Top-up taken back"),
    Kind.CHARGE: gettext_noop("Charge"),
    Kind.REFUND: gettext_noop("Refund"),
    Kind.HOLD: gettext_noop("Held"),
    Kind.CAPTURE: gettext_noop("Captured"),
    Kind.RELEASE: gettext_noop("Released"),
    Kind.EXPIRE: gettext_noop("Hold expired"),
    Kind.ADJUSTMENT_CREDIT: gettext_noop("Adjustment"),
    Kind.ADJUSTMENT_DEBIT: gettext_noop("Adjustment"),
    Kind.GRANT: gettext_noop("Given credit"),
    Kind.GRANT_EXPIRY: gettext_noop("Given credit ended"),
}
_OF_A_REQUEST: Final = {
    Kind.REFUND: gettext_noop("%(request)s: refund"),
    Kind.HOLD: gettext_noop("%(request)s: held"),
    Kind.CAPTURE: gettext_noop("%(request)s: %(amount)s captured"),
    Kind.RELEASE: gettext_noop("%(request)s: released"),
    Kind.EXPIRE: gettext_noop("%(request)s: hold expired"),
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


def page(template: str, values: Mapping[str, Any], *, status: int = 200, spoken: Language = ENGLISH) -> Response:
    """Answer with a page, in a language."""
    environment = _environment(spoken.code)
    return Response(
        align_columns(environment.get_template(template).render(values), spoken),
        status_code=status,
        media_type="text/html",
        headers=dict(HEADERS),
    )


def mail(text: str) -> Response:
    """Answer with a mail's HTML, as it is."""
    return Response(text, media_type="text/html", headers=dict(MAIL_HEADERS))


def redirect(url: str) -> Response:
    """Send the browser to another page of ours, to be read: what was posted is not posted again by a reload."""
    return Response(status_code=303, headers={**HEADERS, "Location": url}, media_type="text/plain")


def file_headers(name: str) -> dict[str, str]:
    """Write the headers of a file that the browser keeps under this name."""
    return {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}


def csv_file(name: str, body: bytes) -> Response:
    """Answer with a CSV file that is made already."""
    return Response(body, media_type="text/csv", headers=file_headers(name))


def short_money(micros: int, currency: str, *, spoken: Language = ENGLISH) -> str:
    """Write an amount for a glance: rounded towards zero to the currency's decimals."""
    return spoken.amount(round_for_glance(micros, currency), currency)


def _days_left(runway: Runway, zone: ZoneInfo) -> int | None:
    """Count the days on the calendar until the money is used up; None if it is over a year."""
    return days_left(runway, runway.until, zone)


def moment(micros: int, zone: ZoneInfo, *, spoken: Language = ENGLISH) -> Markup:
    """Write a time for people, and exactly for machines and a pointer that rests on it."""
    time = at(micros, zone)
    words = f"{spoken.short_day(time, is_year_shown=True)}, {time:%H:%M:%S}"
    return Markup('<time datetime="{}" title="{} {}">{}</time>').format(time.isoformat(), words, time.tzname(), words)


def day(micros: int, zone: ZoneInfo, *, spoken: Language = ENGLISH) -> str:
    """Write a day: Fri 27 Nov, with its year if that is far."""
    time = at(micros, zone)
    return spoken.weekday(time, is_year_shown=_is_far(time))


def clock_time(micros: int, zone: ZoneInfo, *, spoken: Language = ENGLISH) -> Markup:
    """Write the time of a day, if it is today, else the day, with its year if that is far, and the time."""
    time = at(micros, zone)
    is_today = time.date() == datetime.now(zone).date()
    words = f"{time:%H:%M:%S}" if is_today else f"{_day_of(time, spoken)}, {time:%H:%M}"
    return Markup('<time datetime="{}">{}</time>').format(time.isoformat(), words)


def _day_of(time: datetime, spoken: Language = ENGLISH) -> str:
    return spoken.short_day(time, is_year_shown=_is_far(time))


def _is_far(time: datetime) -> bool:
    return abs(time - datetime.now(time.tzinfo)) >= timedelta(days=180)


def kind_words(kind: int, *, spoken: Language = ENGLISH) -> str:
    """Say what kind of transfer one is."""
    return spoken.gettext(_KINDS[Kind(kind)])


def request_words(kind: int) -> str:
    """Say what kind of move, or change, a request for approval is about."""
    return REQUEST_NAMES[kind].capitalize()


def what(transfer: Transfer, currency: str, *, spoken: Language = ENGLISH) -> str:
    """Say in a few words what a transfer was: image x 3; chat: 1,200 input: refund; top-up INV-1."""
    if transfer.request_type is None:
        words = spoken.gettext(_KINDS[Kind(transfer.kind)])
        return f"{words} {transfer.reference}" if transfer.reference else words
    request = requested(transfer, spoken)
    if transfer.kind == Kind.CHARGE:
        return request
    # Of a capture the available balance is as it was, so the amount is told here.
    told = {"amount": spoken.amount(transfer.amount, currency)} if transfer.kind == Kind.CAPTURE else {}
    return spoken.gettext(_OF_A_REQUEST[Kind(transfer.kind)], request=request, **told)


def wallet_before(transfer: Transfer) -> int:
    """Tell what was available before a transfer, in micros."""
    return transfer.wallet_after - EFFECTS[Kind(transfer.kind)].wallet * transfer.amount


def effect(transfer: Transfer, currency: str, *, spoken: Language = ENGLISH) -> Markup:
    """Write what a transfer did to the available balance, with its sign."""
    change = EFFECTS[Kind(transfer.kind)].wallet * transfer.amount
    return Markup("{}{}").format("+" if change > 0 else "", spoken.amount(change, currency))


def browser_name(agent: str, *, spoken: Language = ENGLISH) -> str:
    """Name a browser and its system as people do, of what it calls itself; all claim to be several."""
    browser = next((name for word, name in _BROWSERS if word in agent), spoken.gettext("Another browser"))
    system = next((name for word, name in _SYSTEMS if word in agent), "")
    return spoken.gettext("%(browser)s on %(system)s", browser=browser, system=system) if system else browser


def public_id(kind: str, number: int) -> str:
    """Write the public id of a merchant ("mer"), key ("key") and the like."""
    return ids.public_id(f"{kind}_", number)


_SPOKEN: Final[Mapping[str, Callable[..., Any]]] = {
    "alert_words": alert_words,
    "browser_name": browser_name,
    "cause_words": cause_words,
    "clock_time": clock_time,
    "day": day,
    "effect": effect,
    "ends_words": ends_words,
    "given_words": given_words,
    "kind_words": kind_words,
    "lasts": lasts,
    "likely": likely,
    "moment": moment,
    "price_words": price_words,
    "quantities": quantities_words,
    "requested": requested,
    "rule_words": rule_words,
    "short_money": short_money,
    "span_words": span_words,
    "terms_words": terms_words,
    "typed_money": amount_to_type,
    "types_words": types_words,
    "what": what,
}
"""The filters that write in the reader's language."""


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
        money_with_code=spoken.money,
        number=spoken.number,
        percent=spoken.percent,
        joined=spoken.listed,
        known=spoken.known,
        days_left=_days_left,
        request_words=request_words,
        wallet_before=wallet_before,
        public_id=public_id,
        roles_in_words=roles_in_words,
        key_state=key_state,
        has_ended=has_ended,
        key_kind=KEY_KIND_WORDS.__getitem__,
        user_role=user_role,
        approval_state=APPROVAL_STATE_WORDS.__getitem__,
        grant_transfer_id=grant_transfer_id,
        requested_terms=requested_terms,
        audit_words=audit_words,
        called=called,
        actor_words=actor_words,
        **{name: partial(words, spoken=spoken) for name, words in _SPOKEN.items()},
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
