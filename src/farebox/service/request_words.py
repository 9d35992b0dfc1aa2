"""The words that say which requests a transfer was for: for lists, mails and the command line."""

from typing import Final

from farebox.core.prices import REQUESTS
from farebox.core.pricing.priced import read_priced
from farebox.core.transfers import Transfer
from farebox.service.languages import ENGLISH, Language

NAMES_MAX: Final = 3
"""So many quantities are named in a few words; the others are counted."""


def requested(transfer: Transfer, spoken: Language = ENGLISH) -> str:
    """Tell what was requested.

    >>> from farebox.core.accounts import Kind
    >>> chat = Transfer(1, 2, Kind.CHARGE, 360, "key", b"", 0, 0, 0, b"", "chat", 1, pricing="input=1200,output=350")
    >>> requested(chat)
    'chat: 1,200 input, 350 output'
    """
    request_type = transfer.request_type or ""
    if transfer.pricing is None:
        return f"{request_type} x {spoken.number(transfer.quantity)}" if transfer.quantity else request_type
    quantities = {name: number for name, number in read_priced(transfer.pricing).quantities.items() if number}
    if list(quantities) in ([], [REQUESTS]) and transfer.quantity:
        return f"{request_type} x {spoken.number(transfer.quantity)}"
    words = [f"{spoken.number(number)} {name}" for name, number in list(quantities.items())[:NAMES_MAX]]
    if len(quantities) > NAMES_MAX:
        words.append(spoken.ngettext("%(count)s more", "%(count)s more", len(quantities) - NAMES_MAX))
    return f"{request_type}: {', '.join(words)}"
