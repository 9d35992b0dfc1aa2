"""The audit log: who did what from where."""

from typing import Final

from starlette.responses import Response

from farebox.core import ids
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.web.pages.console.common import CURSOR, merchant_url
from farebox.web.pages.house import Audience, PageRequest, PageRoute

ROWS: Final = 50


class Verifier:
    """Deeds, newest first."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [PageRoute("/support/audit", Audience.SUPPORT, get=self.show, is_console=True)]

    async def show(self, ask: PageRequest) -> Response:
        """List deeds, of all merchants and the operator's own, or of one merchant."""
        text = ask.query("merchant").strip()
        wrong, merchant_id = "", None
        try:
            merchant_id = inputs.public_id("merchant", ids.MERCHANT, text) if text else None
        except InvalidInput as error:
            wrong = error.message
        cursor = ask.query(CURSOR) or None
        entries, following = await ask.services.audit_log.page(merchant_id=merchant_id, cursor=cursor, limit=ROWS)
        merchants = {entry.merchant_id for entry in entries if entry.merchant_id is not None}
        return ask.page(
            "console/audit.html",
            422 if wrong else 200,
            entries=entries,
            following=following,
            is_first=cursor is None,
            text=text,
            wrong=wrong,
            chosen=text if merchant_id is not None else "",
            names=await ask.services.console.names({*merchants, merchant_id}),
            urls={number: merchant_url(number) for number in merchants},
            merchant_id=merchant_id,
        )
