"""Sample mails, one of each kind: by them an operator's templates are tried at the start, and seen beforehand."""

from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any, Final

from msgspec import Struct

from farebox.alerts.alert_mail import alert_context
from farebox.alerts.alert_words import AlertWords, Fact, MailAction
from farebox.alerts.email_address import mailbox
from farebox.alerts.mail import Headers, MailSettings, compose_mail
from farebox.alerts.report_samples import report_samples
from farebox.service.languages import Language

_NOW: Final = 1_800_000_000_000_000
_USD: Final = "USD"
_MICROS: Final = 1_000_000
_NAME: Final = "Northwind Imaging"
_EMAIL: Final = "ann@northwind.example"


class Sample(Struct, frozen=True):
    """What a sample is called, and the mail."""

    name: str
    message: EmailMessage


def sample_mails(settings: MailSettings, language: Language) -> Iterator[Sample]:
    """Write one mail of each kind in a language, with made-up names and amounts."""
    for name, template, title, words, is_optional in _contexts(settings, language):
        headers = Headers(title, at=_NOW, message_id=f"<{name}@{settings.sender.domain}>")
        message = compose_mail(
            settings,
            mailbox(_EMAIL),
            headers,
            template=template,
            words=words,
            language=language,
            unsubscribe_url=f"{settings.public_url}/unsubscribe/SAMPLE" if is_optional else None,
        )
        yield Sample(name, message)
    for name, message in report_samples(settings, language):
        yield Sample(name, message)


def _contexts(settings: MailSettings, language: Language) -> Iterator[tuple[str, str, str, dict[str, Any], bool]]:
    """Name, template, subject and words of each, and whether its reader may end such mails."""
    _ = language.gettext
    for name, told, is_optional in (
        ("low-balance", _low_balance(language), True),
        ("used-up", _used_up(language), False),
        ("credit-ends", _credit_ends(language), True),
        ("with-a-button", _with_a_button(language), True),
    ):
        words = alert_context(
            told,
            merchant=_NAME,
            balance=language.amount(399_500_000 if name != "used-up" else 0, _USD),
            currency=_USD,
            account_url=f"{settings.public_url}/accounts/mer_38RRBH8000007",
        )
        title = _("%(merchant)s: %(news)s", merchant=_NAME, news=told.subject)
        yield name, "alert", title, words, is_optional
    console = _("the support console of %(operator)s", operator=settings.operator or "Farebox")
    for name, purpose, is_staff, has_password, title in (
        ("invitation", "invitation", False, False, _("You are invited to %(place)s", place=_NAME)),
        ("invitation-again", "invitation", False, True, _("You are invited to %(place)s", place=_NAME)),
        ("staff-invitation", "invitation", True, False, _("You are invited to %(place)s", place=console)),
        ("staff-invitation-again", "invitation", True, True, _("You are invited to %(place)s", place=console)),
        ("reset", "reset", False, True, _("Choose a new password")),
        ("test", "test", False, False, _("Test mail for %(place)s", place=_NAME)),
    ):
        words = {
            "purpose": purpose,
            "place": console if is_staff else _NAME,
            "is_staff": is_staff,
            "has_password": has_password,
            "link": f"{settings.public_url}/link/38RRBH800HASR.SAMPLE",
            "sign_in": f"{settings.public_url}/sign-in",
            "expires": language.moment(_NOW),
            "email": _EMAIL,
        }
        yield name, "account_mail", title, words, False
    yield "approvals", "approvals", *_approvals(settings, language), False


def _low_balance(language: Language) -> AlertWords:
    _, money = language.gettext, language.money
    below = money(400 * _MICROS, _USD)
    return AlertWords(
        subject=_("balance below %(threshold)s", threshold=below),
        headline=_("Your balance fell below %(threshold)s", threshold=below),
        facts=(
            Fact(
                _("Of that available"),
                money(389_500_000, _USD),
                _("%(amount)s is held for requests in progress", amount=money(10_000_000, _USD)),
            ),
            Fact(_("Your threshold"), below),
            Fact(
                _("What brought it down"),
                _("a charge of %(amount)s for %(request)s", amount=money(500_000, _USD), request="1 x image"),
                "xfer_38RRBH800000700000002",
            ),
            Fact(_("Balance at that time"), money(399_500_000, _USD), language.moment(_NOW)),
        ),
        advice=_("When nothing is available any more, requests are refused until you top up."),
        is_over=False,
        again=_(
            "You are told again when a top-up or an adjustment leaves the balance below the threshold, "
            "or brings it back and it falls below again."
        ),
    )


def _used_up(language: Language) -> AlertWords:
    _, money = language.gettext, language.money
    return AlertWords(
        subject=_("balance used up, requests are refused"),
        headline=_("Your balance is used up: requests are refused"),
        facts=(
            Fact(_("Lasts"), _("it is used up")),
            Fact(
                _("What was not covered"),
                _("a request for %(amount)s", amount=money(1_500_000, _USD)),
                language.moment(_NOW),
            ),
        ),
        advice=_("Requests are refused until you top up."),
        is_over=False,
        again=_("You are told again when a request is refused after money has arrived."),
    )


def _credit_ends(language: Language) -> AlertWords:
    _, left, end = language.gettext, language.money(20 * _MICROS, _USD), language.moment(_NOW)
    return AlertWords(
        subject=_("%(amount)s of given credit ends on %(time)s", amount=left, time=end),
        headline=_("You have %(amount)s of given credit that ends on %(time)s", amount=left, time=end),
        facts=(Fact(_("Given credit left"), left), Fact(_("Ends"), end)),
        advice=_("What is left of it then can't be spent any more. Paid money does not end."),
        is_over=True,
        again=_("You are told once of each credit that ends."),
    )


def _with_a_button(language: Language) -> AlertWords:
    told = _used_up(language)
    return AlertWords(
        subject=told.subject,
        headline=told.headline,
        facts=told.facts,
        advice=told.advice,
        is_over=told.is_over,
        again=told.again,
        action=MailAction(language.gettext("Open your account"), "/keys"),
    )


def _approvals(settings: MailSettings, language: Language) -> tuple[str, dict[str, Any]]:
    title = language.ngettext(
        "%(count)s request waits for your approval", "%(count)s requests wait for your approval", 2
    )
    request = language.gettext(
        "Top-up of %(amount)s for %(merchant)s, requested by %(maker)s",
        amount=language.money(9_000 * _MICROS, _USD),
        merchant=_NAME,
        maker="ben@farebox.example",
    )
    words = {
        "requests": [f"{request} (INV-2041)"],
        "accounts": [f"Carla Diaz ({_EMAIL})"],
        "more": 1,
        "url": f"{settings.public_url}/support/approvals",
    }
    return title, words
