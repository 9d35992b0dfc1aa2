"""What forms and error pages say in other languages of what services tell in English.

Services raise whole sentences, some with values in them: what somebody typed, an amount, a bound. Each is known here as
it is raised, with a name for each value, so that it is said again in the reader's language with the values put in.
Other sentences stay in English, as the API has them.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from farebox.service.languages import ENGLISH, Language, gettext_noop

FORM_MESSAGES: Final = (
    gettext_noop("The e-mail address, the password or the one-time code is wrong"),
    gettext_noop("This is not your password"),
    gettext_noop("This is not your password any more: it was changed meanwhile"),
    gettext_noop("A password has 10 to 200 characters"),
    gettext_noop("This is not the code that the program shows; see that its clock is right"),
    gettext_noop("Use at least 5 different characters"),
    gettext_noop("A password that resembles your address is the first that others try"),
    gettext_noop("A password that resembles your name or address is among the first that others try"),
    gettext_noop("That is one of the passwords that others try first; add a few words of your own"),
    gettext_noop("The account needs an owner: make somebody else one first"),
    gettext_noop("%(email)s is registered there already"),
    gettext_noop("%(email)s is not registered there"),
    gettext_noop("%(text)s is not an e-mail address: %(reason)s"),
    gettext_noop("%(text)s can't be written to: it has %(sign)s in it"),
    gettext_noop("A role is one of %(roles)s"),
    gettext_noop("Nobody registered there has this id"),
    gettext_noop("Choose how long the old key goes on"),
    gettext_noop("Choose how long the secret before goes on"),
    gettext_noop("Say when"),
    gettext_noop("This is not a time; write one such as 2027-01-31T12:00"),
    gettext_noop("%(text)s is not a time; write one such as 2026-01-31T12:00:00Z"),
    gettext_noop("%(text)s is not a day; write one such as 2026-01-31"),
    gettext_noop("%(text)s is not a time zone; write one such as Europe/Berlin"),
    gettext_noop("%(text)s is no number of days; write whole days, such as 7"),
    gettext_noop("%(days)s is not between 1 and 90 days, such as 7"),
    gettext_noop("%(amount)s is never reached: without a credit limit a threshold is more than 0, such as 12.50"),
    gettext_noop("%(amount)s is below what the credit limit of %(limit)s allows: a threshold is %(lowest)s or more"),
    gettext_noop("%(amount)s is too fine: amounts in %(currency)s have at most %(decimals)s decimals"),
    gettext_noop("%(amount)s is too fine: amounts in %(currency)s are whole numbers"),
    gettext_noop("A key can't expire before it is made; name a time to come"),
    gettext_noop("Name a time to come; to close a key at once, revoke it"),
    gettext_noop("The key is revoked or expired, and opens nothing any more; create a new one instead"),
    gettext_noop("This is empty; write one line of 1 to %(count)s characters"),
    gettext_noop("This has %(length)s characters; write one line of 1 to %(count)s characters"),
    gettext_noop(
        "This has a line break, a tab or another character that can't be seen; write one line of 1 to %(count)s "
        "characters"
    ),
    gettext_noop("This has spaces at its ends; write one line of 1 to %(count)s characters"),
    gettext_noop("The end is before the start"),
    gettext_noop("A kind is one of %(kinds)s"),
    gettext_noop("Give the nextCursor of the page before, as it is"),
    gettext_noop("There may be %(count)s webhooks and chats, %(own)s of them one user's own; delete one"),
    gettext_noop("A chat has no secret but its URL; save another URL instead"),
    gettext_noop("It was deleted"),
    gettext_noop("No such event was sent there"),
    gettext_noop("This is not after the time from which on events are sent anew"),
    gettext_noop("What is longer ago than 90 days is not sent anew"),
    gettext_noop("This is empty; write where to send to"),
    gettext_noop("Choose one event or more"),
    gettext_noop("A name has 80 characters at most"),
    gettext_noop("Nothing is sent there: turn it on first"),
    gettext_noop("This does not begin with whsec_: %(advice)s"),
    gettext_noop("What stands behind whsec_ is not base64: %(advice)s"),
    gettext_noop("This has %(count)s bytes: %(advice)s"),
    gettext_noop("This repeats itself, and can be guessed: %(advice)s"),
    gettext_noop("a secret is whsec_ and 24 to 64 random bytes in base64; leave it empty to have one made"),
    gettext_noop("The URL has more than 2,000 characters."),
    gettext_noop("The URL has a space, a backslash or another character in it that URLs don't have."),
    gettext_noop("The URL can't be read; write https://host/path."),
    gettext_noop("Write a URL that begins with https://."),
    gettext_noop("Write a URL that begins with https://: what is sent must not be read on its way."),
    gettext_noop("Leave user and password out of the URL: each message is signed instead."),
    gettext_noop("Leave the part from # on out of the URL: it is never sent."),
    gettext_noop("The URL's port can't be 0."),
    gettext_noop("The URL names no host; write https://host/path."),
    gettext_noop("The URL's host is one of a local network, where nothing is sent to."),
    gettext_noop("The URL's host is a number; write a name, or an address as in 93.184.215.14."),
    gettext_noop("The URL's address names a link of this machine."),
    gettext_noop("The URL's address is %(kind)s, where nothing is sent to."),
    gettext_noop(
        "This is no chat that is known; write it as Apprise does, such as slack://TokenA/TokenB/TokenC/#channel, "
        "discord://ID/TOKEN or tgram://TOKEN/CHAT."
    ),
    gettext_noop("A part of this %(service)s:// URL is missing or wrong; see how Apprise writes it."),
    gettext_noop("A weekday is 1 for Monday to 7 for Sunday"),
    gettext_noop("Only users of the account get its reports"),
    gettext_noop("The merchant is closed: no money of it is moved"),
    gettext_noop("This page was open for more than %(days)s days; see that all is as you know it, and send it"),
    gettext_noop(
        "This form was sent before, with other words in it, and what it asked for then is done; send it again if this "
        "is to be done as well"
    ),
    gettext_noop("This form is not as the page has it now. Load the page again and repeat"),
    gettext_noop("This form is from another session. Load the page again and repeat"),
    gettext_noop("This form was sent from another site's page"),
    gettext_noop("The form can't be read; load the page again"),
    gettext_noop("Only owners may do this. Ask one of yours"),
    gettext_noop("Only members and owners may do this. Ask one of yours"),
    gettext_noop("Those were too many tries. Try again in %(seconds)s seconds"),
    gettext_noop("No such key is here"),
    gettext_noop("No key has the id %(id)s"),
    gettext_noop("No destination has the id %(id)s"),
    gettext_noop("No merchant has this id"),
    gettext_noop("%(text)s is not %(thing)s id; one looks like %(example)s"),
    gettext_noop("No such destination is here"),
    gettext_noop("The merchant has no such transfer"),
    gettext_noop("Too many requests wait already; try again shortly"),
    gettext_noop("The database can't be reached or takes no writes; nothing was changed. Try again shortly"),
)
"""The sentences, as pages begin them: with a capital, unless a value comes first."""

_PLACE: Final = re.compile(r"%\\\((\w+)\\\)s")
_VALUES_MAX_CHARS: Final = 2_000


def in_language(text: str, spoken: Language) -> str:
    """Say a message of the services in a language, or leave it as it is if it is not known."""
    if spoken is ENGLISH or not text:
        return text
    known = spoken.known(text)
    if known != text or len(text) > _VALUES_MAX_CHARS:
        return known
    for message, pattern in _patterns().items():
        if read := pattern.fullmatch(text):
            return spoken.gettext(message, **{name: spoken.known(value) for name, value in read.groupdict().items()})
    return text


@cache
def _patterns() -> Mapping[str, re.Pattern[str]]:
    """Read what messages with values look like."""
    return {
        message: re.compile(_PLACE.sub(r"(?P<\1>.+)", re.escape(message)), re.DOTALL)
        for message in FORM_MESSAGES
        if "%(" in message
    }
