"""Whose a merchant's API key is, as services ask before they do the work that they charge for."""

from farebox.core import ids
from farebox.core.outcomes import Code
from farebox.presenters.fields import time_or_none
from farebox.service.errors import InvalidKey, Refused
from farebox.service.ledger.operations import MERCHANT_NOT_FOUND
from farebox.service.people.api_keys import parse_key
from farebox.services import Services
from farebox.web.api.answers import answer
from farebox.web.api_route import MERCHANT, SERVICE, Answer, ApiRequest, Endpoints, route
from farebox.web.rate_limits import CheckedKeys
from farebox.web.schemas.spending import CheckedKeyData, KeyCheckRequest


class KeyCheckEndpoints(Endpoints):
    """Looking merchants' keys up for services."""

    def __init__(self, services: Services, checked_keys: CheckedKeys) -> None:
        """Answer from these services, so often as `checked_keys` allows."""
        super().__init__(services)
        self._checked_keys = checked_keys

    @route(
        method="POST",
        path="/api/keys/check",
        keys=SERVICE,
        summary="Ask whose a merchant's API key is",
        data=CheckedKeyData,
        refusals=(Code.MERCHANT_NOT_FOUND,),
        description="Nothing is charged. A key that opens nothing is answered as a charge that names it would be: 404, "
        "merchant_not_found. So many of these a second and service as bad keys of one address; keys that were good "
        "lately are answered all the same.",
    )
    async def check_key(self, request: ApiRequest, body: KeyCheckRequest) -> Answer:
        """Tell whose a key is."""
        key = parse_key(body.api_key)
        digest = None if key is None else key.digest
        self._checked_keys.admit(request.key, digest)
        try:
            if key is not None and key.is_imported:
                key = await self._services.queries.located(key)
            if key is None or key.merchant_id is None:
                raise InvalidKey
            record = await self._services.queries.authorize(key, MERCHANT)
        except InvalidKey:
            self._checked_keys.record_failure(request.key, digest)
            raise Refused(MERCHANT_NOT_FOUND) from None
        self._checked_keys.record_success(key.digest)
        stored = await self._services.merchants.key(record.key_id)
        return answer(
            CheckedKeyData(
                merchant_id=ids.public_id(ids.MERCHANT, key.merchant_id),
                key_id=ids.public_id(ids.KEY, record.key_id),
                name=stored.name,
                state="valid" if stored.expires_at is None else "ending",
                expires_at=time_or_none(stored.expires_at),
            )
        )
