"""Webhooks and chats on pages: set up, tried, turned off and on, and what was sent there. A secret is shown once."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.responses import Response

from farebox.core import ids
from farebox.core.alerts import EVENT_TYPES
from farebox.presenters.destinations import CHANNELS, STATE_WORDS, last_error
from farebox.presenters.event_words import EVENT_WORDS
from farebox.presenters.events import event_body
from farebox.service import parsing
from farebox.service.errors import Forbidden, InvalidInput, Missing, ServiceError
from farebox.service.event_types import offered_types, types_of
from farebox.service.languages import gettext_noop
from farebox.service.people.destinations import (
    Channel,
    Delivery,
    Destination,
    DestinationState,
    NewDestination,
    TestAnswer,
)
from farebox.service.repeats import RequestKey
from farebox.web.pages.forms import typed_time
from farebox.web.pages.paging import cut
from farebox.web.pages.preview import Preview, facts_of
from farebox.web.pages.render import moment
from farebox.web.pages.request import PageRequest, no_such_page

DESTINATION: Final = "{destination:str}"
EVENT: Final = "{event:str}"
ROWS: Final = 50
_BEFORE: Final = "before"
_FIELDS: Final = {"overlapSeconds": "overlap"}
_URL: Final = "url"
_SECRET_URL: Final = "secret_url"  # noqa: S105 - a chat's URL is a secret: the field is never filled in again.
OVERLAPS: Final = {
    "0": gettext_noop("not at all"),
    "3600": gettext_noop("for an hour"),
    "86400": gettext_noop("for a day"),
    "604800": gettext_noop("for a week"),
}
"""How long the secret before may go on: words, by the seconds as a form sends them."""


class Whose(Struct, frozen=True):
    """Whose destinations a page is about, and what its reader may do about them."""

    merchant_id: int | None
    own_user_id: int | None
    """The reader, if they are a user of the merchant, who may have some of their own."""
    may_manage: bool
    """Whether the reader may change those that are nobody's own."""

    def sees(self, destination: Destination) -> bool:
        """Tell whether the reader sees a destination: users see those of the account, and their own."""
        if destination.merchant_id != self.merchant_id:
            return False
        return self.own_user_id is None or destination.user_id in (None, self.own_user_id)

    def may_change(self, destination: Destination) -> bool:
        """Tell whether the reader may change a destination that they see."""
        if destination.user_id is not None and destination.user_id == self.own_user_id:
            return True
        return self.may_manage and (destination.user_id is None or self.own_user_id is None)


class DestinationPages(ABC):
    """The pages of some destinations: a merchant's, on its own side or in the console, or the operator's."""

    @abstractmethod
    async def whose(self, request: PageRequest) -> Whose:
        """Tell whose destinations they are, and what the reader may do."""

    @abstractmethod
    def url(self, request: PageRequest) -> str:
        """Write where the list is."""

    @abstractmethod
    def page(self, request: PageRequest, template: str, status: int, **values: Any) -> Awaitable[Response]:
        """Answer with a page, in its frame."""

    async def show(self, request: PageRequest) -> Response:
        """List the destinations."""
        whose = await self.whose(request)
        there = [each for each in await request.services.destinations.list(whose.merchant_id) if whose.sees(each)]
        return await self._page(request, "list", destinations=there, whose=whose)

    async def show_new(self, request: PageRequest) -> Response:
        """Show the form by which one is added."""
        return await self._new(request)

    async def create(self, request: PageRequest) -> Response:
        """Add one."""
        whose = await self.whose(request)
        try:
            made = await request.make_once(partial(self._add, request, whose), request.services.destinations.made)
        except ServiceError as error:
            request.form.fail(error, _url_field(request))
            return await self._new(request, 422)
        return await self._made(request, made.thing, is_new=True)

    async def show_one(self, request: PageRequest) -> Response:
        """Show one: what it is, what can be done about it, and what was sent there."""
        return await self._one(request)

    async def change(self, request: PageRequest) -> Response:
        """Change its name, URL or events."""
        destination = await self._own(request)
        url = _typed_url(request)
        try:
            await request.services.destinations.change(
                destination,
                name=request.form.text("name"),
                url=None if url == (destination.url if _URL in request.form else "") else url,
                types=request.form.all("types"),
                principal=request.principal,
            )
        except ServiceError as error:
            request.form.fail(error, _url_field(request))
            return await self._one(request, 422)
        return request.redirect(self._url(request, destination), "destination_saved")

    async def rotate(self, request: PageRequest) -> Response:
        """Give it another secret."""
        destination = await self._own(request)
        try:
            overlap = request.form.text("overlap")
            if overlap not in OVERLAPS:
                raise InvalidInput("overlap", "choose how long the secret before goes on")
            rotate = partial(
                request.services.destinations.rotate_secret,
                destination,
                overlap_seconds=int(overlap),
                secret=request.form.text("secret"),
                principal=request.principal,
            )
            made = await request.make_once(rotate, request.services.destinations.made)
        except ServiceError as error:
            request.form.fail(error, _FIELDS)
            return await self._one(request, 422)
        return await self._made(request, made.thing, is_new=False)

    async def set_on(self, request: PageRequest) -> Response:
        """Turn it on, or off."""
        destination = await self._own(request)
        is_on = request.form.text("is_on") == "yes"
        await request.services.destinations.set_on(destination, is_on=is_on, principal=request.principal)
        return request.redirect(self._url(request, destination), "destination_on" if is_on else "destination_off")

    async def test(self, request: PageRequest) -> Response:
        """Send a test there, and show what came of it."""
        destination = await self._own(request)

        async def unknown(_: int) -> TestAnswer | None:
            return None

        send = partial(request.services.destinations.send_test, destination, principal=request.principal)
        try:
            made = await request.make_once(send, unknown)
        except ServiceError as error:
            request.form.fail(error)
            return await self._one(request, 422)
        return await self._page(
            request, "tested", destination=destination, here=self._url(request, destination), answer=made.thing
        )

    async def ask_delete(self, request: PageRequest) -> Response:
        """Tell what it comes to to delete it; nothing is changed."""
        whose, destination = await self._seen(request)
        here = self._url(request, destination)
        if not whose.may_change(destination):
            return request.redirect(here)
        say = request.language.gettext
        preview = Preview(
            action=f"{here}/delete",
            back=here,
            question=say("Delete %(name)s?", name=destination.name),
            facts=facts_of(
                (say("Where"), destination.url),
                (say("Made"), moment(destination.created_at, request.zone, spoken=request.language)),
                (say("From then on"), say("nothing is sent there, and what waits for it is dropped")),
                (say("Taking it back"), say("is not possible; to pause it, turn it off instead")),
            ),
            button=say("Delete it"),
            is_danger=True,
            is_done_once=True,
        )
        return await self._page(request, "preview", preview=preview)

    async def delete(self, request: PageRequest) -> Response:
        """Delete it; a form that comes again finds it gone."""

        async def delete(request_key: RequestKey) -> None:
            destination = await self._own(request)
            await request.services.destinations.delete(
                destination, principal=request.principal, request_key=request_key
            )

        try:
            return await request.do_once(delete, self.url(request), "destination_deleted")
        except Missing:
            # The same form, at the same time, was first; or somebody else was.
            number = request.number("destination", ids.DESTINATION)
            if await request.services.destinations.is_there(number):
                raise
            return request.redirect(self.url(request), "destination_deleted", "sent_twice")

    async def replay_range(self, request: PageRequest) -> Response:
        """Send what happened in a time once more."""
        destination = await self._own(request)
        here = self._url(request, destination)
        try:
            since, until = (
                typed_time(name, request.form.text(name), request.zone) or "" for name in ("since", "until")
            )
            replay = partial(
                request.services.destinations.replay_range,
                destination,
                since=since,
                until=until,
                is_all=request.form.text("which") == "all",
                principal=request.principal,
            )
            return await request.do_once(replay, here, "events_replayed")
        except ServiceError as error:
            request.form.fail(error)
            return await self._one(request, 422)

    async def show_event(self, request: PageRequest) -> Response:
        """Show one event that was sent there: what it says, and each attempt."""
        whose, destination = await self._seen(request)
        delivery, attempts = await request.services.destinations.delivery(destination, *self._event(request))
        return await self._page(
            request,
            "event",
            destination=destination,
            here=self._url(request, destination),
            delivery=delivery,
            event_id=request.param("event"),
            attempts=attempts,
            payload=_payload(delivery),
            error=last_error(delivery, attempts[0] if attempts else None),
            may_change=whose.may_change(destination),
        )

    async def replay(self, request: PageRequest) -> Response:
        """Send one event once more."""
        destination = await self._own(request)
        delivery, _ = await request.services.destinations.delivery(destination, *self._event(request))
        here = self._url(request, destination)
        try:
            replay = partial(request.services.destinations.replay, destination, delivery, principal=request.principal)
            return await request.do_once(replay, here, "event_replayed")
        except ServiceError as error:
            request.form.fail(error)
            return await self._one(request, 422)

    async def _add(self, request: PageRequest, whose: Whose, request_key: RequestKey) -> NewDestination:
        form = request.form
        channel = CHANNELS.get(form.text("channel"))
        if channel is None:
            raise InvalidInput("channel", f"there are {' and '.join(CHANNELS)}")
        user_id = whose.own_user_id if form.text("whose") == "own" or not whose.may_manage else None
        return await request.services.destinations.add(
            whose.merchant_id,
            channel,
            _typed_url(request),
            types=form.all("types"),
            name=form.text("name"),
            secret=form.text("secret"),
            user_id=user_id,
            principal=request.principal,
            request_key=request_key,
        )

    async def _seen(self, request: PageRequest) -> tuple[Whose, Destination]:
        """Read the destination that the path names, if it belongs on this page.

        Raises:
            Missing: it does not.
        """
        whose = await self.whose(request)
        destination = await request.services.destinations.get(request.number("destination", ids.DESTINATION))
        if not whose.sees(destination):
            raise Missing("no such destination is here")
        return whose, destination

    async def _own(self, request: PageRequest) -> Destination:
        """Read the destination that the path names, if the reader may change it.

        Raises:
            Missing: it does not belong on this page.
            Forbidden: it is the account's, and they are no owner.
        """
        whose, destination = await self._seen(request)
        if not whose.may_change(destination):
            raise Forbidden("Only owners may do this. Ask one of yours")
        return destination

    def _event(self, request: PageRequest) -> tuple[int, int]:
        """Read which alert the path names: its merchant and number.

        Raises:
            ApiError: 404, it can be none.
        """
        try:
            return parsing.parse_book_id(ids.ALERT, request.param("event"))
        except parsing.InvalidId as error:
            raise no_such_page() from error

    def _url(self, request: PageRequest, destination: Destination) -> str:
        return f"{self.url(request)}/{destination.id}"

    async def _new(self, request: PageRequest, status: int = 200) -> Response:
        whose = await self.whose(request)
        channel = CHANNELS.get(request.form.text("channel") or request.query("channel"), Channel.WEBHOOK)
        return await self._page(
            request,
            "new",
            status,
            whose=whose,
            is_chat=channel == Channel.CHAT,
            offered=self._offered(request, whose, request.form.all("types") if status != 200 else None),
        )

    async def _one(self, request: PageRequest, status: int = 200) -> Response:
        whose, destination = await self._seen(request)
        before = request.query(_BEFORE)
        cursor = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
        rows = await request.services.destinations.sent(destination, before=cursor, limit=ROWS + 1)
        sent, is_more = cut(rows, ROWS)
        chosen = request.form.all("types") if "types" in request.form else types_of(destination.kinds)
        return await self._page(
            request,
            "one",
            status,
            destination=destination,
            here=self._url(request, destination),
            may_change=whose.may_change(destination),
            is_own=destination.user_id is not None and destination.user_id == whose.own_user_id,
            is_chat=destination.channel == Channel.CHAT,
            is_on=destination.state == DestinationState.ON,
            is_disabled=destination.state == DestinationState.DISABLED,
            types=types_of(destination.kinds),
            offered=self._offered(request, whose, chosen),
            overlaps=[(seconds, request.language.gettext(words)) for seconds, words in OVERLAPS.items()],
            sent=sent,
            errors={each.delivery.key: last_error(each.delivery, each.attempt) for each in sent},
            older=_cursor(destination, sent) if is_more else None,
            now=request.services.console.now(),
        )

    def _offered(self, request: PageRequest, whose: Whose, chosen: Sequence[str] | None) -> list[tuple[str, str, bool]]:
        """List the events to choose from: name, words, and whether it is chosen; all are, if None was yet."""
        offered, say = offered_types(is_operator=whose.merchant_id is None), request.language.gettext
        return [(name, say(EVENT_WORDS[name]), chosen is None or name in chosen) for name in offered]

    async def _made(self, request: PageRequest, made: NewDestination, *, is_new: bool) -> Response:
        """Show a secret, this once; a chat has none."""
        destination = made.destination
        if destination.channel == Channel.CHAT:
            return request.redirect(self._url(request, destination), "destination_made")
        return await self._page(
            request, "made", made=made, destination=destination, here=self._url(request, destination), is_new=is_new
        )

    async def _page(self, request: PageRequest, name: str, status: int = 200, **values: Any) -> Response:
        known = {
            "destinations_root": self.url(request),
            "states": STATE_WORDS,
            "event_types": EVENT_TYPES,
            "event_words": {name: request.language.gettext(words) for name, words in EVENT_WORDS.items()},
        }
        return await self.page(request, f"destinations/{name}.html", status, **{**known, **values})


def _payload(delivery: Delivery) -> str:
    """Write what a webhook's message says, for people; nothing of a chat's, or of an alert that kept no facts."""
    if delivery.channel != Channel.WEBHOOK or delivery.alert.facts is None:
        return ""
    return msgspec.json.format(event_body(delivery.alert), indent=2)


def _typed_url(request: PageRequest) -> str:
    """Return the URL that was typed: a webhook's, or a chat's."""
    return request.form.text(_URL if _URL in request.form else _SECRET_URL)


def _url_field(request: PageRequest) -> dict[str, str]:
    return {} if _URL in request.form else {_URL: _SECRET_URL}


def _cursor(destination: Destination, sent: Sequence[Any]) -> int:
    """Tell before what the next page is."""
    last = sent[-1]
    return int(last.attempt.at) if destination.merchant_id is None else int(last.delivery.alert.number)
