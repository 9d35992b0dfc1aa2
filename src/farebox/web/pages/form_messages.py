"""What forms of translated pages say of what was typed; the sentences stand where they are raised."""

from typing import Final

from farebox.service.languages import gettext_noop

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
)
