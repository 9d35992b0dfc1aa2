"""Mails and account_mails: what was sent, what waits, what fails and why."""

from typing import Final

from starlette.responses import Response

from farebox.service.operator.console import AccountMail, MailState, OutboxMail, Purpose
from farebox.web.pages.console.common import merchant_url
from farebox.web.pages.house import Audience, PageRequest, PageRoute

ROWS: Final = 50
_STATES: Final = {MailState.WAITING: "waits", MailState.SENT: "sent", MailState.GIVEN_UP: "given up"}
_PURPOSES: Final = {Purpose.INVITATION: "invitation", Purpose.RESET: "link to choose a password", Purpose.TEST: "test"}


class Outbox:
    """The outbox."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute("/support/outbox", Audience.SUPPORT, get=self.show, is_console=True),
            PageRoute("/support/outbox/retry", Audience.SUPPORT, post=self.retry, is_console=True),
        ]

    async def show(self, ask: PageRequest) -> Response:
        """List the newest mails and account mails, those that fail first."""
        outgoing = await ask.services.console.outgoing()
        failing = [mail for mail in outgoing.mails if _fails(mail)]
        failing_account_mails = [account_mail for account_mail in outgoing.account_mails if _fails(account_mail)]
        mails, account_mails = outgoing.mails[:ROWS], outgoing.account_mails[:ROWS]
        merchants = {mail.alert.merchant_id for mail in (*failing, *mails)}
        return ask.page(
            "console/outbox.html",
            failing=failing[:ROWS],
            failing_account_mails=failing_account_mails[:ROWS],
            mails=mails,
            account_mails=account_mails,
            names=await ask.services.console.names(merchants),
            urls={number: merchant_url(number) for number in merchants},
            states={int(state): words for state, words in _STATES.items()},
            purposes={int(purpose): words for purpose, words in _PURPOSES.items()},
            mail_folder=ask.services.operator.mail_folder,
            rows=ROWS,
        )

    async def retry(self, ask: PageRequest) -> Response:
        """Make everything that is not sent due now."""
        await ask.services.console.retry()
        return ask.redirect("/support/outbox", "retried")


def _fails(mail: OutboxMail | AccountMail) -> bool:
    """Tell whether a mail was tried in vain."""
    return mail.state == MailState.GIVEN_UP or (mail.state == MailState.WAITING and mail.last_error is not None)
