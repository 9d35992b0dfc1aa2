"""Mails and letters: what was sent, what waits, what fails and why."""

from typing import Any, Final

from litestar import Response

from farebox.service.operator.console import Letter, MailState, OutboxMail, Purpose
from farebox.web.pages.console.common import merchant_url
from farebox.web.pages.house import Ask, PageRoute, Who

ROWS: Final = 50
_STATES: Final = {MailState.WAITING: "waits", MailState.SENT: "sent", MailState.GIVEN_UP: "given up"}
_PURPOSES: Final = {Purpose.INVITATION: "invitation", Purpose.RESET: "link to choose a password", Purpose.TEST: "test"}


class Outbox:
    """The outbox."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute("/support/outbox", Who.SUPPORT, get=self.show, is_console=True),
            PageRoute("/support/outbox/retry", Who.SUPPORT, post=self.retry, is_console=True),
        ]

    async def show(self, ask: Ask) -> Response[Any]:
        """List the newest mails and letters, those that fail first."""
        outgoing = await ask.services.desk.outgoing()
        failing = [mail for mail in outgoing.mails if _fails(mail)]
        failing_letters = [letter for letter in outgoing.letters if _fails(letter)]
        mails, letters = outgoing.mails[:ROWS], outgoing.letters[:ROWS]
        merchants = {mail.alert.merchant_id for mail in (*failing, *mails)}
        return ask.page(
            "console/outbox.html",
            failing=failing[:ROWS],
            failing_letters=failing_letters[:ROWS],
            mails=mails,
            letters=letters,
            names=await ask.services.desk.names(merchants),
            urls={number: merchant_url(number) for number in merchants},
            states={int(state): words for state, words in _STATES.items()},
            purposes={int(purpose): words for purpose, words in _PURPOSES.items()},
            mail_folder=ask.services.mail_folder,
            rows=ROWS,
        )

    async def retry(self, ask: Ask) -> Response[Any]:
        """Make everything that is not sent due now."""
        await ask.services.desk.retry()
        return ask.redirect("/support/outbox", "retried")


def _fails(mail: OutboxMail | Letter) -> bool:
    """Tell whether a mail was tried in vain."""
    return mail.state == MailState.GIVEN_UP or (mail.state == MailState.WAITING and mail.last_error is not None)
