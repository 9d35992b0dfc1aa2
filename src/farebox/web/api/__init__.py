"""The API's endpoints: each is given a request whose key is good, asks the services, and writes the answer's data."""

from farebox.http.limits import HTTP_LIMITS, HttpLimits
from farebox.services import Services
from farebox.web.api.account import AccountEndpoints
from farebox.web.api.approvals import ApprovalEndpoints
from farebox.web.api.audit_log import AuditLogEndpoints
from farebox.web.api.charge_batches import ChargeBatchEndpoints
from farebox.web.api.charges import ChargeEndpoints
from farebox.web.api.destinations import DestinationEndpoints
from farebox.web.api.grants import GrantEndpoints
from farebox.web.api.holds import HoldEndpoints
from farebox.web.api.key_checks import KeyCheckEndpoints
from farebox.web.api.key_usage import KeyUsageEndpoints
from farebox.web.api.keys import KeyEndpoints
from farebox.web.api.merchants import MerchantEndpoints
from farebox.web.api.moves import MoveEndpoints
from farebox.web.api.outbox import OutboxEndpoints
from farebox.web.api.prices import PriceEndpoints
from farebox.web.api.quotes import QuoteEndpoints
from farebox.web.api.refunds import RefundEndpoints
from farebox.web.api.refusals import RefusalEndpoints
from farebox.web.api.revenue import RevenueEndpoints
from farebox.web.api.shortfalls import ShortfallEndpoints
from farebox.web.api.statements import StatementEndpoints
from farebox.web.api.users import UserEndpoints
from farebox.web.api_route import Route
from farebox.web.rate_limits import CheckedKeys


def routes(
    services: Services, limits: HttpLimits = HTTP_LIMITS, checked_keys: CheckedKeys | None = None
) -> list[Route]:
    """List the API's endpoints; the application and its OpenAPI document are both made from this.

    Without `checked_keys` services may ask about as many bad keys as they like.
    """
    classes = (
        AccountEndpoints,
        RefusalEndpoints,
        StatementEndpoints,
        ChargeEndpoints,
        HoldEndpoints,
        RefundEndpoints,
        QuoteEndpoints,
        MerchantEndpoints,
        UserEndpoints,
        MoveEndpoints,
        GrantEndpoints,
        ShortfallEndpoints,
        ApprovalEndpoints,
        AuditLogEndpoints,
        RevenueEndpoints,
        OutboxEndpoints,
        DestinationEndpoints,
        KeyEndpoints,
        KeyUsageEndpoints,
        PriceEndpoints,
    )
    others = (ChargeBatchEndpoints(services, limits), KeyCheckEndpoints(services, checked_keys or CheckedKeys(0)))
    return [
        *(route for endpoints in classes for route in endpoints(services).routes()),
        *(route for endpoints in others for route in endpoints.routes()),
    ]
