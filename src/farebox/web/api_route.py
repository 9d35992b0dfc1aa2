"""How endpoints are declared: a route beside its handler, and the request that the handler is given."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar, final

from msgspec import Struct
from msgspec.structs import replace
from starlette.types import Receive, Scope

from farebox.core.commands import Caller, KeyKind
from farebox.core.outcomes import Code
from farebox.core.permissions import Operation
from farebox.service.errors import Forbidden
from farebox.service.people.api_keys import ParsedKey, Principal
from farebox.service.repeats import RequestKey
from farebox.services import Services
from farebox.web.body import BODY_BYTES_MAX
from farebox.web.envelope import Headers
from farebox.web.idempotency import request_key

MERCHANT: Final = frozenset({KeyKind.MERCHANT})
SERVICE: Final = frozenset({KeyKind.SERVICE})
SUPPORT: Final = frozenset({KeyKind.SUPPORT})

_REPLAYABLE: Final = frozenset({Code.IDEMPOTENCY_CONFLICT, Code.APPROVAL_NOT_FOUND})
"""An endpoint that may refuse so may also answer a replay."""

_DECLARED: Final = "declared_route"


class Answer(Struct, frozen=True, gc=False):
    """A success: the whole envelope, its status and any further headers."""

    body: bytes
    headers: Headers = []
    status: int = 200


@final
class Stream(Struct, frozen=True):
    """A success of any length, sent piece by piece as it is made; not JSON, so without an envelope."""

    pieces: AsyncIterator[bytes]
    headers: Headers


class ApiRequest(Struct, frozen=True, gc=False):
    """A request whose key may use the endpoint, or is looked up by what the endpoint asks."""

    scope: Scope
    receive: Receive
    key: ParsedKey
    support: Principal | None = None
    """Who asks, if the key is support's."""

    @property
    def caller(self) -> Caller:
        """The key as a command's caller."""
        return self.key.caller

    @property
    def merchant_id(self) -> int:
        """The merchant whose key it is.

        Raises:
            Forbidden: it is no merchant's.
        """
        if self.key.merchant_id is None:
            raise Forbidden
        return self.key.merchant_id

    @property
    def principal(self) -> Principal:
        """The support person whose key it is.

        Raises:
            Forbidden: it is not support's.
        """
        if self.support is None:
            raise Forbidden
        return self.support

    def request_key(self, body: Struct) -> RequestKey | None:
        """Return what support named this request by, in the header Idempotency-Key; None if it did not."""
        return request_key(self.scope, body, key_id=self.principal.key_id or 0)


Handler = Callable[..., Awaitable[Answer | Stream]]
_Declared = TypeVar("_Declared", bound=Handler)


class Route(Struct, frozen=True):
    """One endpoint: where it is, who may use it, what it takes and gives, and by which names it refuses."""

    method: str
    path: str
    keys: frozenset[KeyKind]
    summary: str
    handler: Handler
    body: type[Struct] | None
    """What a JSON body is decoded to."""
    query: type[Struct] | None
    """What the query's parameters are decoded to."""
    raw_body: type[Struct] | None
    """What the body is, if the handler reads it by itself."""
    body_bytes_max: int
    data: type
    """What a success has."""
    accepted: type[Struct] | None
    """The data of a 202, which waits for something; None if there is no such answer."""
    media: tuple[str, ...]
    """The types of content that a success may have beside JSON."""
    operations: tuple[Operation, ...]
    """What a support key's roles must allow, one of these at least; which one it is, the services tell by the body."""
    refusals: tuple[Code, ...]
    """The ledger's refusals, by name."""
    missing: bool
    """Whether what is named may not be there, beyond the ledger's own refusals."""
    conflicts: bool
    """Whether what is named may be there already, beyond the ledger's own refusals."""
    description: str
    is_made_once: bool
    """Whether the header Idempotency-Key names what it makes, so that a repeat makes nothing more."""
    is_replayable: bool
    """Whether the answer may be a replay: the first one again, or that it was so already."""
    is_versioned: bool
    """Whether the answer has an ETag, and If-None-Match is answered without a body while it names that."""
    is_key_checked_later: bool
    """Whether what the handler asks of the services looks the key up, so that it needs no look-up of its own."""
    hides_outages: bool
    """Whether a 503 is told as a 500, for clients that know no other."""

    @property
    def request(self) -> type[Struct] | None:
        """What a body is, decoded ahead of the handler or read by it."""
        return self.body or self.raw_body


def route(
    *,
    method: str,
    path: str,
    keys: frozenset[KeyKind],
    summary: str,
    data: type,
    raw_body: type[Struct] | None = None,
    body_bytes_max: int = BODY_BYTES_MAX,
    accepted: type[Struct] | None = None,
    media: tuple[str, ...] = (),
    operations: tuple[Operation, ...] = (Operation.READ,),
    refusals: tuple[Code, ...] = (),
    missing: bool = False,
    conflicts: bool = False,
    description: str = "",
    is_made_once: bool = False,
    is_replayable: bool = False,
    is_versioned: bool = False,
    is_key_checked_later: bool = False,
    hides_outages: bool = False,
) -> Callable[[_Declared], _Declared]:
    """Declare the method below as an endpoint; the arguments are told of at `Route`.

    The handler takes an ApiRequest and, by the names `body` or `query`, what that is decoded to: their annotations tell
    the type.
    """

    def declare(handler: _Declared) -> _Declared:
        vars(handler)[_DECLARED] = Route(
            method=method,
            path=path,
            keys=keys,
            summary=summary,
            handler=handler,
            body=handler.__annotations__.get("body"),
            query=handler.__annotations__.get("query"),
            raw_body=raw_body,
            body_bytes_max=body_bytes_max,
            data=data,
            accepted=accepted,
            media=media,
            operations=operations,
            refusals=_with_conflicts(refusals) if is_made_once else refusals,
            missing=missing,
            conflicts=conflicts,
            description=description,
            is_made_once=is_made_once,
            is_replayable=is_replayable or is_made_once or not _REPLAYABLE.isdisjoint(refusals),
            is_versioned=is_versioned,
            is_key_checked_later=is_key_checked_later,
            hides_outages=hides_outages,
        )
        return handler

    return declare


def _with_conflicts(refusals: tuple[Code, ...]) -> tuple[Code, ...]:
    """Add that an idempotency key may have been used for another request."""
    return refusals if Code.IDEMPOTENCY_CONFLICT in refusals else (*refusals, Code.IDEMPOTENCY_CONFLICT)


class Endpoints:
    """Endpoints about one subject; a class of these has a method for each."""

    def __init__(self, services: Services) -> None:
        """Answer from these services."""
        self._services = services

    def routes(self) -> list[Route]:
        """List the routes that are declared here, in their order."""
        declared: list[tuple[str, Any]] = [
            (name, vars(member)[_DECLARED])
            for name, member in vars(type(self)).items()
            if callable(member) and _DECLARED in vars(member)
        ]
        return [replace(each, handler=getattr(self, name)) for name, each in declared]
