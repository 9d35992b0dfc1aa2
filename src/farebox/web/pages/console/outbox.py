"""Alert mails and account mails: what was sent, what waits, what fails and why."""

from typing import Final

from starlette.responses import Response

from farebox.core.permissions import Operation
from farebox.service.operator.console import AccountMail, Delivery, DeliveryState, Purpose
from farebox.web.pages.console.common import merchant_url
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

ROWS: Final = 50
_STATES: Final = {
    DeliveryState.WAITING: "waits",
    DeliveryState.SENT: "sent",
    DeliveryState.GIVEN_UP: "given up",
    DeliveryState.WITHDRAWN: "withdrawn",
}
_PURPOSES: Final = {
    Purpose.INVITATION: "invitation",
    Purpose.RESET: "link to choose a password",
    Purpose.TEST: "test",
    Purpose.APPROVAL: "what waits for approval",
    Purpose.REPORT: "report",
    Purpose.UNUSUAL_SPENDING: "unusual spending, to staff",
    Purpose.DESTINATION_DISABLED: "disabled destination, to staff",
}


class OutboxPages:
    """The outbox."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute("/support/outbox", Audience.SUPPORT, get=self.show, is_console=True),
            PageRoute(
                "/support/outbox/retry",
                Audience.SUPPORT,
                post=self.retry,
                is_console=True,
                operation=Operation.RUN_SERVER,
            ),
        ]

    async def show(self, request: PageRequest) -> Response:
        """List the newest mails and account mails, those that fail first."""
        outgoing = await request.services.console.outgoing()
        failing = [mail for mail in outgoing.mails if _fails(mail)]
        failing_account_mails = [account_mail for account_mail in outgoing.account_mails if _fails(account_mail)]
        mails, account_mails = outgoing.mails[:ROWS], outgoing.account_mails[:ROWS]
        merchants = {mail.alert.merchant_id for mail in (*failing, *mails)}
        rows = await request.services.console.merchants_of(merchants)
        return request.page(
            "console/outbox.html",
            failing=failing[:ROWS],
            failing_account_mails=failing_account_mails[:ROWS],
            mails=mails,
            account_mails=account_mails,
            currencies={number: row.account.currency for number, row in rows.items()},
            names={number: row.merchant.name for number, row in rows.items()},
            urls={number: merchant_url(number) for number in merchants},
            states={int(state): words for state, words in _STATES.items()},
            purposes={int(purpose): words for purpose, words in _PURPOSES.items()},
            mail_folder=request.services.operator.mail_folder,
            pause=await request.services.console.mail_server_pause(request.services.operator.mail_server),
            now=request.services.console.now(),
            rows=ROWS,
        )

    async def retry(self, request: PageRequest) -> Response:
        """Make everything that is not sent due now."""
        await request.services.console.retry(principal=request.principal)
        return request.redirect("/support/outbox", "retried")


def _fails(mail: Delivery | AccountMail) -> bool:
    """Tell whether a mail was tried in vain."""
    return mail.state == DeliveryState.GIVEN_UP or (mail.state == DeliveryState.WAITING and mail.last_error is not None)
