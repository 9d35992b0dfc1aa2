"""The fields of forms that amounts are typed in."""

from collections.abc import Sequence

from farebox.core.alerting.runway_thresholds import RUNWAY_THRESHOLDS_MAX
from farebox.core.thresholds import THRESHOLDS_MAX
from farebox.service import inputs
from farebox.service.languages import ENGLISH, Language
from farebox.service.typed_amounts import typed_amount
from farebox.web.pages.forms import Form


def optional_amount(
    form: Form, field: str, currency: str, *, is_zero_allowed: bool = False, spoken: Language = ENGLISH
) -> str | None:
    """Read an amount that may be left out; None if it was.

    Raises:
        InvalidInput: something was typed that is no amount.
    """
    text = form.text(field)
    return typed_amount(field, text, currency, is_zero_allowed=is_zero_allowed, spoken=spoken) if text else None


def typed_thresholds(form: Form, field: str, currency: str, credit_limit: int, spoken: Language = ENGLISH) -> list[str]:
    """Read the fields of thresholds, an amount in each, down to the credit limit in micros; empty ones don't count.

    Raises:
        InvalidInput: one is no amount, or out of reach; the error names the one that is wrong, the first being 1.
    """
    typed: list[str] = []
    for number, text in enumerate(form.each(field), 1):
        if text.strip():
            name = f"{field}-{number}"
            amount = typed_amount(name, text, currency, is_zero_allowed=True, is_minus_allowed=True, spoken=spoken)
            typed.append(amount)
            inputs.thresholds(name, typed[-1:], credit_limit=credit_limit, currency=currency)
    return typed


def typed_runway_thresholds(form: Form, field: str) -> list[int]:
    """Read the fields of thresholds in days left, a number in each; empty ones don't count.

    Raises:
        InvalidInput: one is no number of days; the error names the one that is wrong, the first being 1.
    """
    return [
        inputs.typed_days(f"{field}-{number}", text) for number, text in enumerate(form.each(field), 1) if text.strip()
    ]


def runway_threshold_fields(form: Form, field: str, days: Sequence[int] = ()) -> list[str]:
    """Fill the fields of thresholds in days left: with what was typed, or else these days."""
    typed = form.each(field) if field in form else [str(item) for item in days]
    return [*typed, *[""] * (RUNWAY_THRESHOLDS_MAX - len(typed))]


def threshold_fields(form: Form, field: str, amounts: Sequence[str] = ()) -> list[str]:
    """Fill the fields of thresholds, as many as there may be: with what was typed, or else these amounts."""
    typed = form.each(field) if field in form else list(amounts)
    return [*typed, *[""] * (THRESHOLDS_MAX - len(typed))]
