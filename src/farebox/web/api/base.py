"""What every endpoint is made of: its line in the table of routes, who may use it, and how outcomes are answered."""

from collections.abc import Sequence
from typing import Final

import msgspec
from litestar.types import HTTPScope
from msgspec import Struct

from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.core.money import format_amount
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.thresholds import Threshold
from farebox.core.transfers import Transfer
from farebox.service.access import ParsedKey
from farebox.service.errors import InvalidKey, Refused
from farebox.service.merchants import Merchants
from farebox.service.operations import Operations
from farebox.service.queries import Balances, Queries
from farebox.web import security
from farebox.web.bodies.common import ThresholdData
from farebox.web.endpoint import Answer, Handler
from farebox.web.envelope import Headers, success_body

MERCHANT: Final = frozenset({KeyKind.MERCHANT})
SERVICE: Final = frozenset({KeyKind.SERVICE})
SUPPORT: Final = frozenset({KeyKind.SUPPORT})

NO_HEADERS: Final[Headers] = []
REPLAY: Final[Headers] = [(b"idempotent-replay", b"true")]


class Services(Struct, frozen=True):
    """What the API is built on."""

    balances: Balances
    queries: Queries
    operations: Operations
    merchants: Merchants


class Route(Struct, frozen=True):
    """One endpoint: where it is, who may use it, what it takes and gives, and by which names it refuses.

    `query` is the type of the query's parameters. `media` are the types of content that a success may have beside JSON.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    keys: frozenset[KeyKind]
    data: type
    request: type | None = None
    refusals: tuple[Code, ...] = ()
    query: type[Struct] | None = None
    description: str = ""
    media: tuple[str, ...] = ()


class Room:
    """What the endpoints of one audience share."""

    def __init__(self, services: Services) -> None:
        """Answer from these services."""
        self._services = services

    async def _authorize(self, scope: HTTPScope, kinds: frozenset[KeyKind]) -> ParsedKey:
        """Let the request pass if its key is good and of one of these kinds.

        Raises:
            InvalidKey: the key opens nothing.
            Forbidden: it is of another kind.
        """
        key = security.api_key(scope)
        if key is None:
            raise InvalidKey
        await self._services.queries.authorize(key, kinds)
        return key


def answer(data: Struct, headers: Headers = NO_HEADERS) -> Answer:
    """Answer a success with its data."""
    return Answer(success_body(msgspec.json.encode(data)), headers)


def replay_headers(outcome: Outcome) -> Headers:
    """Mark the first answer given again."""
    return REPLAY if outcome.is_replay else NO_HEADERS


def transfer_of(outcome: Outcome) -> Transfer:
    """Return the transfer of a command that moved money, or raise its refusal."""
    if outcome.transfer is None:
        raise Refused(outcome)
    return outcome.transfer


def thresholds_data(thresholds: Sequence[Threshold]) -> list[ThresholdData]:
    """Write thresholds as they stand in JSON."""
    return [ThresholdData(format_amount(item.amount), item.is_armed) for item in thresholds]


def merchant_in_path(scope: HTTPScope) -> int:
    """Read the merchant's id out of the path; what is no id names no merchant.

    Raises:
        Refused: merchant_not_found.
    """
    try:
        return ids.parse_public_id(ids.MERCHANT, scope["path_params"]["merchant_id"])
    except ids.InvalidId as error:
        raise Refused(refused(Code.MERCHANT_NOT_FOUND, "No merchant has this id")) from error
