"""The audit log: who did what from where."""

from typing import Final

from starlette.responses import Response

from farebox.core import ids
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.web.pages.console.common import CURSOR, merchant_url
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

ROWS: Final = 50


class AuditLogPages:
    """The audit log, newest first."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [PageRoute("/support/audit", Audience.SUPPORT, get=self.show, is_console=True)]

    async def show(self, request: PageRequest) -> Response:
        """List what was done, for all merchants and by the operator for itself, or for one merchant."""
        text = request.query("merchant").strip()
        wrong, merchant_id = "", None
        try:
            merchant_id = inputs.public_id("merchant", ids.MERCHANT, text) if text else None
        except InvalidInput as error:
            wrong = error.message
        cursor = request.query(CURSOR) or None
        audit_entries, following = await request.services.audit_log.page(
            merchant_id=merchant_id, cursor=cursor, limit=ROWS
        )
        merchants = {entry.merchant_id for entry in audit_entries if entry.merchant_id is not None}
        return request.page(
            "console/audit.html",
            422 if wrong else 200,
            audit_entries=audit_entries,
            actors=await request.services.audit_log.names(),
            following=following,
            is_first=cursor is None,
            text=text,
            wrong=wrong,
            chosen=text if merchant_id is not None else "",
            names=await request.services.console.names({*merchants, merchant_id}),
            urls={number: merchant_url(number) for number in merchants},
            merchant_id=merchant_id,
        )
