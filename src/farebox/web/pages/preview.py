"""Previews: what an action would come to, told before it is done, with the button that does it."""

from collections.abc import Mapping, Sequence

from msgspec import Struct


class Preview(Struct, frozen=True):
    """An action as it is shown before it is done.

    `amount` and `beside` are what it is about, in large; `facts` are labels and words. `fields` are sent to `action` by
    the button, with a once-token if it `is_done_once`; without a `button` there is nothing to do but to go back.
    """

    action: str
    back: str
    question: str = ""
    amount: str = ""
    beside: str = ""
    facts: Sequence[tuple[str, str]] = ()
    button: str = ""
    fields: Mapping[str, str] = {}
    notice: str = ""
    link: tuple[str, str] | None = None
    """Where the notice leads, and in which words."""
    is_danger: bool = False
    is_done_once: bool = False


def facts_of(*facts: tuple[str, str | None]) -> list[tuple[str, str]]:
    """Leave out what has no words."""
    return [(label, words) for label, words in facts if words]
