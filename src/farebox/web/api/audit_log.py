"""The audit log, as support reads it."""

from farebox.presenters.audit_log import audit_entry_data
from farebox.web.api.answers import answer
from farebox.web.api.paths import merchant_in_query
from farebox.web.api_route import SUPPORT, Answer, ApiRequest, Endpoints, route
from farebox.web.schemas.admin import AuditData, MerchantPageQuery


class AuditLogEndpoints(Endpoints):
    """The endpoint of the audit log."""

    @route(
        method="GET",
        path="/api/admin/audit",
        keys=SUPPORT,
        summary="Read who did what from where, newest first",
        data=AuditData,
    )
    async def list_audit(self, request: ApiRequest, query: MerchantPageQuery) -> Answer:
        """Read a page of the audit log."""
        entries, cursor = await self._services.audit_log.page(
            merchant_id=merchant_in_query(query), cursor=query.cursor, limit=query.limit
        )
        names = await self._services.audit_log.names()
        return answer(AuditData([audit_entry_data(entry, names) for entry in entries], cursor))
