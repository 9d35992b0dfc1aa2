"""The mails that are owed, as support reads them."""

from farebox.presenters.outbox import mail_data
from farebox.web.api.answers import answer
from farebox.web.api.paths import merchant_in_query
from farebox.web.api_route import SUPPORT, Answer, ApiRequest, Endpoints, route
from farebox.web.schemas.admin import OutboxData, OutboxQuery


class OutboxEndpoints(Endpoints):
    """The endpoint of the outbox."""

    @route(
        method="GET",
        path="/api/admin/outbox",
        keys=SUPPORT,
        summary="List the newest mails, what became of them, and why",
        data=OutboxData,
    )
    async def list_mails(self, request: ApiRequest, query: OutboxQuery) -> Answer:
        """List the newest mails about balances and about signing in."""
        mails = await self._services.console.mails(merchant_in_query(query), query.limit)
        pause = await self._services.console.mail_server_pause(self._services.operator.mail_server)
        return answer(OutboxData([mail_data(mail, pause) for mail in mails]))
