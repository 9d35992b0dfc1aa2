"""Webhooks and chats, as support sets them up for merchants and for the operator, and what was sent there."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from msgspec import Struct

from farebox.core.outcomes import Code
from farebox.core.permissions import Operation
from farebox.presenters.destinations import (
    CHANNELS,
    DestinationData,
    NewDestinationData,
    TestData,
    attempt_data,
    destination_data,
    new_destination_data,
    sent_data,
    tested_data,
)
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.people.destinations import Destination, NewDestination
from farebox.web.api.answers import answer, answer_once
from farebox.web.api.paths import MERCHANT_PATH, destination_in_path, merchant_in_path
from farebox.web.api_route import SUPPORT, Answer, ApiRequest, Endpoints, route
from farebox.web.schemas.destinations import (
    AttemptsData,
    AttemptsQuery,
    ChangeDestinationRequest,
    DestinationRequest,
    DestinationsData,
    ReplayedData,
    ReplayRequest,
    RotateSecretRequest,
    SentListData,
    SentQuery,
)

_ALL: Final = "/api/admin/destinations"
_ONE: Final = "/api/admin/destinations/{destination_id:str}"
_MANAGE: Final = (Operation.MANAGE_DESTINATIONS,)
_UNKNOWN: Final = (Code.MERCHANT_NOT_FOUND,)


class DestinationEndpoints(Endpoints):
    """Destinations of merchants and of the operator."""

    @route(
        method="GET",
        path=f"{MERCHANT_PATH}/destinations",
        keys=SUPPORT,
        summary="List a merchant's webhooks and chats, and its users' own",
        data=DestinationsData,
        refusals=_UNKNOWN,
    )
    async def list_merchant_destinations(self, request: ApiRequest) -> Answer:
        """List a merchant's destinations."""
        return await self._list(merchant_in_path(request))

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/destinations",
        keys=SUPPORT,
        summary="Add a webhook or a chat to a merchant",
        data=NewDestinationData,
        operations=_MANAGE,
        refusals=(*_UNKNOWN, Code.MERCHANT_CLOSED),
        is_made_once=True,
    )
    async def add_merchant_destination(self, request: ApiRequest, body: DestinationRequest) -> Answer:
        """Add a destination of a merchant's, and show its secret, this once."""
        return await self._add(request, body, merchant_in_path(request))

    @route(
        method="GET",
        path=_ALL,
        keys=SUPPORT,
        summary="List the operator's own webhooks and chats",
        data=DestinationsData,
    )
    async def list_operator_destinations(self, request: ApiRequest) -> Answer:
        """List the operator's destinations."""
        return await self._list(None)

    @route(
        method="POST",
        path=_ALL,
        keys=SUPPORT,
        summary="Add a webhook or a chat of the operator's own, told of all merchants",
        data=NewDestinationData,
        operations=_MANAGE,
        is_made_once=True,
    )
    async def add_operator_destination(self, request: ApiRequest, body: DestinationRequest) -> Answer:
        """Add a destination of the operator's, and show its secret, this once."""
        return await self._add(request, body, None)

    @route(
        method="GET",
        path=_ONE,
        keys=SUPPORT,
        summary="Read a webhook or a chat",
        data=DestinationData,
        missing=True,
    )
    async def read_destination(self, request: ApiRequest) -> Answer:
        """Read a destination."""
        return answer(destination_data(await self._named(request)))

    @route(
        method="PATCH",
        path=_ONE,
        keys=SUPPORT,
        summary="Change a webhook or a chat, or turn it on or off",
        data=DestinationData,
        operations=_MANAGE,
        missing=True,
        description="One that was disabled is turned on by `isOn`; what it missed is sent by `replay`.",
    )
    async def change_destination(self, request: ApiRequest, body: ChangeDestinationRequest) -> Answer:
        """Change a destination."""
        destinations, principal = self._services.destinations, request.principal
        principal.ensure_may(Operation.MANAGE_DESTINATIONS)
        destination = await destinations.change(
            await self._named(request), name=body.name, url=body.url, types=body.types, principal=principal
        )
        if body.is_on is not None:
            destination = await destinations.set_on(destination, is_on=body.is_on, principal=principal)
        return answer(destination_data(destination))

    @route(
        method="DELETE",
        path=_ONE,
        keys=SUPPORT,
        summary="Delete a webhook or a chat",
        data=DestinationData,
        operations=_MANAGE,
        missing=True,
    )
    async def remove_destination(self, request: ApiRequest) -> Answer:
        """Delete a destination."""
        destination = await self._named(request)
        await self._services.destinations.delete(destination, principal=request.principal)
        return answer(destination_data(destination))

    @route(
        method="POST",
        path=f"{_ONE}/secret",
        keys=SUPPORT,
        summary="Give a webhook another secret",
        data=NewDestinationData,
        operations=_MANAGE,
        missing=True,
        conflicts=True,
        is_made_once=True,
    )
    async def rotate_destination_secret(self, request: ApiRequest, body: RotateSecretRequest) -> Answer:
        """Give a destination another secret and show it, this once."""
        rotate = partial(
            self._services.destinations.rotate_secret,
            await self._named(request),
            overlap_seconds=body.overlap_seconds,
            secret=body.secret or "",
        )
        return await self._made(request, body, rotate)

    @route(
        method="POST",
        path=f"{_ONE}/test",
        keys=SUPPORT,
        summary="Send a test to a webhook or a chat, and tell what came of it",
        data=TestData,
        operations=_MANAGE,
        missing=True,
        description="It is sent at once, and once, whether the destination is on or not.",
    )
    async def test_destination(self, request: ApiRequest) -> Answer:
        """Send a test."""
        sent = await self._services.destinations.send_test(await self._named(request), principal=request.principal)
        return answer(tested_data(sent))

    @route(
        method="GET",
        path=f"{_ONE}/events",
        keys=SUPPORT,
        summary="List what was sent to a webhook or a chat, newest first",
        data=SentListData,
        missing=True,
    )
    async def list_sent(self, request: ApiRequest, query: SentQuery) -> Answer:
        """List what was sent to a destination."""
        destination = await self._named(request)
        sent = await self._services.destinations.sent(destination, limit=query.limit)
        return answer(SentListData([sent_data(each) for each in sent]))

    @route(
        method="GET",
        path=f"{_ONE}/attempts",
        keys=SUPPORT,
        summary="List the attempts to send one event",
        data=AttemptsData,
        missing=True,
    )
    async def list_attempts(self, request: ApiRequest, query: AttemptsQuery) -> Answer:
        """List the attempts of one event."""
        destination = await self._named(request)
        _, attempts = await self._services.destinations.delivery(destination, *inputs.event_id("event", query.event))
        return answer(AttemptsData([attempt_data(each) for each in attempts]))

    @route(
        method="POST",
        path=f"{_ONE}/replay",
        keys=SUPPORT,
        summary="Send one event once more, or what happened in a time, under the same ids",
        data=ReplayedData,
        operations=_MANAGE,
        missing=True,
        conflicts=True,
        description="Of a time it is what the destination wants now, whether it was owed then or not: also what "
        "happened while it was off or disabled. Up to 10,000 events, the oldest first.",
    )
    async def replay_events(self, request: ApiRequest, body: ReplayRequest) -> Answer:
        """Send one event once more, or the events of a time."""
        destination, destinations = await self._named(request), self._services.destinations
        if body.event_id is not None:
            if body.since is not None or body.until is not None:
                raise InvalidInput("eventId", "name an event or a time, not both")
            delivery, _ = await destinations.delivery(destination, *inputs.event_id("eventId", body.event_id))
            await destinations.replay(destination, delivery, principal=request.principal)
            return answer(ReplayedData(1))
        count = await destinations.replay_range(
            destination,
            since=body.since or "",
            until=body.until or "",
            is_all=body.is_all,
            principal=request.principal,
        )
        return answer(ReplayedData(count))

    async def _named(self, request: ApiRequest) -> Destination:
        return await self._services.destinations.get(destination_in_path(request))

    async def _list(self, merchant_id: int | None) -> Answer:
        destinations = await self._services.destinations.list(merchant_id)
        return answer(DestinationsData([destination_data(each) for each in destinations]))

    async def _add(self, request: ApiRequest, body: DestinationRequest, merchant_id: int | None) -> Answer:
        add = partial(
            self._services.destinations.add,
            merchant_id,
            CHANNELS[body.channel],
            body.url,
            types=body.types,
            name=body.name or "",
            secret=body.secret or "",
        )
        return await self._made(request, body, add)

    async def _made(self, request: ApiRequest, body: Struct, make: Callable[..., Awaitable[NewDestination]]) -> Answer:
        services = self._services
        return await answer_once(
            services.repeats, request, body, make=make, find=services.destinations.made, data=new_destination_data
        )
