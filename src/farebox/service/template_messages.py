"""Messages in templates: `_("Hello %(name)s", name=name)`, `ngettext` and `pgettext`, in one language.

In HTML a message's values are escaped, but those that are HTML already; the message itself is ours.
"""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import pass_eval_context
from jinja2.nodes import EvalContext
from markupsafe import Markup, escape

from farebox.service.languages import Language


def message_functions(language: Language) -> dict[str, Callable[..., str]]:
    """Make what templates call to say something in a language."""

    def filled(context: EvalContext, message: str, values: Mapping[str, Any]) -> str:
        isolated = {
            name: value if isinstance(value, Markup) else language.isolated(str(value))
            for name, value in values.items()
        }
        if not context.autoescape:
            return message % isolated
        return Markup(message) % {name: escape(value) for name, value in isolated.items()}  # noqa: S704 - it is ours.

    @pass_eval_context
    def say(context: EvalContext, message: str, /, **values: Any) -> str:
        return filled(context, language.translations.gettext(message), values)

    @pass_eval_context
    def say_count(context: EvalContext, one: str, many: str, count: int, /, **values: Any) -> str:
        told = {"count": language.number(count), **values}
        return filled(context, language.translations.ngettext(one, many, count), told)

    @pass_eval_context
    def say_in_context(context: EvalContext, where: str, message: str, /, **values: Any) -> str:
        return filled(context, language.translations.pgettext(where, message), values)

    return {"_": say, "gettext": say, "ngettext": say_count, "pgettext": say_in_context}
