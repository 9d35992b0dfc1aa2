"""The x-api-key header, and whether its key may do what is asked."""

from typing import Final

from starlette.types import Scope

from farebox.core.commands import KeyKind
from farebox.core.staff_roles import StaffRole
from farebox.service.ledger.queries import Queries
from farebox.service.people.api_keys import ParsedKey, Principal, parse_key
from farebox.web.api_route import Route
from farebox.web.client_address import Addresses

API_KEY_HEADER: Final = b"x-api-key"


def api_key(scope: Scope) -> ParsedKey | None:
    """Read and parse the request's API key; None if there is no well-formed one, or if it is given twice."""
    texts = [value for name, value in scope["headers"] if name == API_KEY_HEADER]
    return parse_key(texts[0].decode("latin-1")) if len(texts) == 1 else None


class KeyCheck:
    """Looks keys up."""

    def __init__(self, queries: Queries, addresses: Addresses) -> None:
        """Look keys up here; `addresses` tells where requests come from."""
        self._queries = queries
        self._addresses = addresses

    async def located(self, key: ParsedKey) -> ParsedKey:
        """Return a key with its merchant, which the text of an imported one does not name.

        Raises:
            InvalidKey: no merchant has it.
        """
        return await self._queries.located(key)

    async def authorize(self, scope: Scope, key: ParsedKey, route: Route) -> Principal | None:
        """Look a key up, and tell who asks if it is support's.

        Raises:
            InvalidKey: it opens nothing.
            Forbidden: it is of another kind than the route takes, or has no role for it.
        """
        record = await self._queries.authorize(key, route.keys)
        if key.kind is not KeyKind.SUPPORT:
            return None
        principal = Principal(
            record.name or "", key.caller, record.key_id, self._addresses.of(scope), StaffRole(record.roles)
        )
        if not any(principal.may(operation) for operation in route.operations):
            principal.ensure_may(route.operations[0])
        return principal
