"""Destinations: where merchants, their users and the operator have webhooks and chat messages sent, set up by hand."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from farebox.core import ids
from farebox.core.audit_log import Action, AuditEntry
from farebox.core.batch.closing import MERCHANT_CLOSED
from farebox.core.permissions import Operation
from farebox.service import inputs
from farebox.service.clock import Clock
from farebox.service.errors import Conflict, InvalidInput, Missing, Refused, translated, unknown_merchant
from farebox.service.event_types import kinds_of, types_of
from farebox.service.id_generator import IdGenerator
from farebox.service.people.api_keys import Principal, audit_entry_by, ensure_may
from farebox.service.people.destination_secrets import DestinationSecrets, checked_signing_secret, new_signing_secret
from farebox.service.repeats import RequestKey, repeat_of
from farebox.storage.destination_records import Channel, DeliveryAttempt, Destination, DestinationState, Sent
from farebox.storage.messages.destinations import TooMany
from farebox.storage.records import Delivery
from farebox.storage.stores import Stores

__all__ = [
    "Channel",
    "Delivery",
    "DeliveryAttempt",
    "Destination",
    "DestinationState",
    "Destinations",
    "NewDestination",
    "Sent",
]

COUNT_MAX: Final = 20
"""How many destinations a merchant with its users may have, and the operator."""

OWN_COUNT_MAX: Final = 3
"""How many of a merchant's may be one user's own."""

OVERLAP_SECONDS_DEFAULT: Final = 24 * 3600
OVERLAP_SECONDS_MAX: Final = 7 * 24 * 3600
"""How long a secret may go on beside its successor."""

REPLAY_MAX: Final = 10_000
"""How many events are sent anew at once."""

REPLAY_DAYS_MAX: Final = 90
"""How long ago may have happened what is sent anew."""

SENT_ROWS_MAX: Final = 500
ATTEMPTS_MAX: Final = 100
_CHANNEL_WORDS: Final = {Channel.WEBHOOK: "webhook", Channel.CHAT: "chat"}
_MICROS_PER_SECOND: Final = 1_000_000
_NAME_CHARS_MAX: Final = 80
_NEWEST: Final = 2**62
"""After every number of an alert, and every time."""


class TestAnswer(Protocol):
    """The result of a test."""

    @property
    def status(self) -> int | None:
        """The HTTP status; None if there was no answer."""

    @property
    def text(self) -> str:
        """The beginning of the answer, or why there was none."""

    @property
    def took(self) -> int:
        """Microseconds."""

    @property
    def is_delivered(self) -> bool:
        """Whether it was taken."""


class ChannelRules(Struct, frozen=True):
    """The particulars of a channel.

    `read_url` checks what somebody typed, without sending anything, and raises ValueError with one sentence;
    `shown` writes what may be shown of it, `called` names it for want of a better name; `send_test` sends a test once.
    """

    read_url: Callable[[str], str]
    shown: Callable[[str], str]
    called: Callable[[str], str]
    send_test: Callable[[Destination], Awaitable[TestAnswer]]


class NewDestination(Struct, frozen=True):
    """A destination that was made, or given a secret, and that secret, which nobody can read again."""

    destination: Destination
    secret: str = ""
    """Empty once it was shown, and of a chat."""


class Destinations:
    """Sets destinations up. Every method may raise Unavailable and, if it writes, Forbidden and FateUnknown."""

    def __init__(
        self, stores: Stores, clock: Clock, secrets: DestinationSecrets, channels: Mapping[Channel, ChannelRules]
    ) -> None:
        """Work on these stores."""
        self._stores = stores
        self._clock = clock
        self._secrets = secrets
        self._channels = channels
        self._id_generator = IdGenerator(clock)

    async def list(self, merchant_id: int | None) -> Sequence[Destination]:
        """List the destinations of a merchant and its users, or the operator's own with None, oldest first."""
        with translated():
            if merchant_id is not None and await self._stores.merchants.find(merchant_id) is None:
                raise unknown_merchant(merchant_id)
            return await self._stores.destinations.list(merchant_id)

    async def get(self, destination_id: int) -> Destination:
        """Read a destination.

        Raises:
            Missing: there is none.
        """
        with translated():
            destination = await self._stores.destinations.find(destination_id)
        if destination is None:
            raise Missing(f"no destination has the id {ids.public_id(ids.DESTINATION, destination_id)}")
        return destination

    async def is_there(self, destination_id: int) -> bool:
        """Tell whether there is a destination of a number, whoever it belongs to."""
        with translated():
            return await self._stores.destinations.find(destination_id) is not None

    async def add(
        self,
        merchant_id: int | None,
        channel: Channel,
        url: str,
        *,
        types: Sequence[str],
        name: str = "",
        secret: str = "",
        user_id: int | None = None,
        principal: Principal | None,
        request_key: RequestKey | None = None,
    ) -> NewDestination:
        """Add a destination of a merchant, or of one of its users; of the operator with None.

        Args:
            merchant_id: whose alerts go there; None for those of all merchants.
            channel: webhook or chat.
            url: where it is.
            types: which events it wants.
            name: what it is called; without one it is called as its host.
            secret: what a webhook is signed with, if somebody has one already; else one is made.
            user_id: the user whose own it is; None for the merchant's or the operator's.
            principal: who adds it.
            request_key: what the caller named its request by.

        Raises:
            InvalidInput: one of these is not valid, or there are too many.
            Refused: the merchant is closed.
        """
        ensure_may(principal, Operation.MANAGE_DESTINATIONS)
        await self._ensure_open(merchant_id)
        destination_id, now = self._id_generator.next(), self._clock.now()
        checked_url = self._read_url(channel, url)
        shown = self._channels[channel].shown(checked_url)
        kinds = _wanted(types, merchant_id)
        if channel == Channel.CHAT:
            if secret:
                raise InvalidInput("secret", "a chat has no secret but its URL")
            kept = checked_url
        else:
            kept = checked_signing_secret("secret", secret) if secret else new_signing_secret()
        destination = Destination(
            *(destination_id, merchant_id, user_id, channel),
            *(_name(name) or self._called(channel, checked_url), shown, kinds, DestinationState.ON),
            *(self._secrets.encrypt(destination_id, kept), None, None, now),
        )
        detail = f"{_CHANNEL_WORDS[channel]} {destination.name}: {', '.join(types_of(kinds))}"
        with translated():
            try:
                await self._stores.destinations.add(
                    destination,
                    count_max=COUNT_MAX,
                    own_count_max=OWN_COUNT_MAX,
                    audit_entry=self._entry(principal, Action.ADD_DESTINATION, destination, detail),
                    repeat=repeat_of(request_key, destination_id, now),
                )
            except TooMany as error:
                raise InvalidInput(
                    "url",
                    f"there may be {COUNT_MAX} webhooks and chats, {OWN_COUNT_MAX} of them one user's own; delete one",
                ) from error
        return NewDestination(destination, "" if channel == Channel.CHAT else kept)

    async def made(self, destination_id: int) -> NewDestination:
        """Read again what `add` or `rotate_secret` made; the secret is gone."""
        return NewDestination(await self.get(destination_id))

    async def change(
        self,
        destination: Destination,
        *,
        name: str | None = None,
        url: str | None = None,
        types: Sequence[str] | None = None,
        principal: Principal | None,
    ) -> Destination:
        """Change a destination's name, URL or events; None stays as it is.

        A webhook keeps its secret when its URL is changed.

        Raises:
            InvalidInput: one of these is not valid.
            Missing: it was deleted.
        """
        ensure_may(principal, Operation.MANAGE_DESTINATIONS)
        changed, words = destination, []
        if url is not None:
            channel = Channel(destination.channel)
            checked_url = self._read_url(channel, url)
            changed = replace(changed, url=self._channels[channel].shown(checked_url))
            if channel == Channel.CHAT:
                secret = self._secrets.encrypt(destination.destination_id, checked_url)
                changed = replace(changed, secret=secret)
            words += ["URL"] if changed != destination else []
        if name is not None:
            changed = replace(changed, name=_name(name) or changed.name)
            words += [f"name {changed.name}"] if changed.name != destination.name else []
        if types is not None:
            changed = replace(changed, kinds=_wanted(types, destination.merchant_id))
            words += [", ".join(types_of(changed.kinds))] if changed.kinds != destination.kinds else []
        if changed == destination:
            return destination
        entry = self._entry(principal, Action.CHANGE_DESTINATION, changed, f"{destination.name}: {', '.join(words)}")
        with translated(missing="it was deleted"):
            await self._stores.destinations.change(changed, entry)
        return changed

    async def rotate_secret(
        self,
        destination: Destination,
        *,
        overlap_seconds: int = OVERLAP_SECONDS_DEFAULT,
        secret: str = "",
        principal: Principal | None,
        request_key: RequestKey | None = None,
    ) -> NewDestination:
        """Give a webhook another secret; messages are signed with the one before, too, for `overlap_seconds`.

        Raises:
            InvalidInput: the overlap is too long, or the secret that somebody brought is not valid.
            Conflict: it is a chat.
        """
        ensure_may(principal, Operation.MANAGE_DESTINATIONS)
        if destination.channel != Channel.WEBHOOK:
            raise Conflict("a chat has no secret but its URL; save another URL instead")
        if not 0 <= overlap_seconds <= OVERLAP_SECONDS_MAX:
            days = OVERLAP_SECONDS_MAX // 86_400
            raise InvalidInput(
                "overlapSeconds",
                f"a secret goes on for {days} days ({OVERLAP_SECONDS_MAX:,} seconds) at most beside its successor",
            )
        text = checked_signing_secret("secret", secret) if secret else new_signing_secret()
        now = self._clock.now()
        until = now + overlap_seconds * _MICROS_PER_SECOND if overlap_seconds else None
        detail = f"{destination.name}, the one before " + (
            "no more" if until is None else f"until {inputs.format_time(until)}"
        )
        with translated(missing="it was deleted"):
            await self._stores.destinations.rotate(
                destination,
                self._secrets.encrypt(destination.destination_id, text),
                overlap_until=until,
                audit_entry=self._entry(principal, Action.ROTATE_DESTINATION_SECRET, destination, detail),
                repeat=repeat_of(request_key, destination.destination_id, now),
            )
        return NewDestination(await self.get(destination.destination_id), text)

    async def set_on(self, destination: Destination, *, is_on: bool, principal: Principal | None) -> Destination:
        """Turn a destination on, whatever turned it off, or off; what was missed meanwhile can be replayed.

        Raises:
            Missing: it was deleted.
        """
        ensure_may(principal, Operation.MANAGE_DESTINATIONS)
        state = DestinationState.ON if is_on else DestinationState.OFF
        if destination.state == state:
            return destination
        detail = f"{destination.name}, {'on' if is_on else 'off'}"
        with translated(missing="it was deleted"):
            await self._stores.destinations.set_state(
                destination, state, self._entry(principal, Action.SET_DESTINATION_STATE, destination, detail)
            )
        return await self.get(destination.destination_id)

    async def delete(
        self, destination: Destination, *, principal: Principal | None, request_key: RequestKey | None = None
    ) -> None:
        """Remove a destination; what waits for it is sent no more.

        Raises:
            Missing: it was deleted.
        """
        ensure_may(principal, Operation.MANAGE_DESTINATIONS)
        entry = self._entry(principal, Action.DELETE_DESTINATION, destination, destination.name)
        repeat = repeat_of(request_key, destination.destination_id, self._clock.now())
        with translated(missing="it was deleted"):
            await self._stores.destinations.delete(destination, entry, repeat)

    async def send_test(
        self, destination: Destination, *, principal: Principal | None, request_key: RequestKey | None = None
    ) -> TestAnswer:
        """Send a test there now, whether it is on or not, and return what came of it.

        Raises:
            SecretUnreadable: it can't be signed, or where it goes is unknown.
        """
        ensure_may(principal, Operation.MANAGE_DESTINATIONS)
        now = self._clock.now()
        if request_key is not None:
            with translated():
                await self._stores.repeats.claim(request_key.makes(destination.destination_id, now))
        return await self._channels[Channel(destination.channel)].send_test(destination)

    async def sent(self, destination: Destination, *, before: int | None = None, limit: int) -> Sequence[Sent]:
        """List what was sent to a destination, or is to be, newest first, as the store does; from the newest with None.

        `limit` is SENT_ROWS_MAX at most.
        """
        with translated():
            return await self._stores.destinations.sent(
                destination, before=_NEWEST if before is None else before, limit=limit
            )

    async def delivery(
        self, destination: Destination, merchant_id: int, alert_number: int
    ) -> tuple[Delivery, Sequence[DeliveryAttempt]]:
        """Read what is owed to a destination of one alert, and its attempts, the last first.

        Raises:
            Missing: nothing is.
        """
        with translated():
            delivery = await self._stores.destinations.delivery(destination, merchant_id, alert_number)
            if delivery is None:
                raise Missing("no such event was sent there")
            return delivery, await self._stores.destinations.attempts(delivery, ATTEMPTS_MAX)

    async def replay(
        self,
        destination: Destination,
        delivery: Delivery,
        *,
        principal: Principal | None,
        request_key: RequestKey | None = None,
    ) -> None:
        """Send an event once more, under the same id.

        Raises:
            Conflict: the destination is not on.
        """
        ensure_may(principal, Operation.MANAGE_DESTINATIONS)
        _ensure_on(destination)
        now = self._clock.now()
        detail = f"{destination.name}, {delivery.alert.id}"
        entry = self._entry(principal, Action.REPLAY_DELIVERIES, destination, detail)
        with translated(missing="no such event was sent there"):
            await self._stores.destinations.replay(
                delivery, now, entry, repeat_of(request_key, destination.destination_id, now)
            )

    async def replay_range(
        self,
        destination: Destination,
        *,
        since: str,
        until: str,
        is_all: bool,
        principal: Principal | None,
        request_key: RequestKey | None = None,
    ) -> int:
        """Send what happened in a time once more, under the same ids; return how many events that are.

        It is what the destination wants now, whether it was owed then or not; without what it took, unless `is_all`.

        Raises:
            InvalidInput: the times are none, or too far apart.
            Conflict: the destination is not on.
        """
        ensure_may(principal, Operation.MANAGE_DESTINATIONS)
        _ensure_on(destination)
        now = self._clock.now()
        first, last = inputs.time("since", since), inputs.time("until", until)
        if first >= last:
            raise InvalidInput("until", "this is not after the time from which on events are sent anew")
        if first < now - REPLAY_DAYS_MAX * 86_400 * _MICROS_PER_SECOND:
            raise InvalidInput("since", f"what is longer ago than {REPLAY_DAYS_MAX} days is not sent anew")
        detail = f"{destination.name}, from {inputs.format_time(first)} to {inputs.format_time(last)}"
        with translated():
            return await self._stores.destinations.replay_range(
                destination,
                since=first,
                until=last,
                now=now,
                is_all=is_all,
                limit=REPLAY_MAX,
                audit_entry=self._entry(principal, Action.REPLAY_DELIVERIES, destination, detail),
                repeat=repeat_of(request_key, destination.destination_id, now),
            )

    def _read_url(self, channel: Channel, url: str) -> str:
        if not url.strip():
            raise InvalidInput("url", "this is empty; write where to send to")
        try:
            return self._channels[channel].read_url(url.strip())
        except ValueError as error:
            raise InvalidInput("url", str(error)) from error

    def _called(self, channel: Channel, checked_url: str) -> str:
        return self._channels[channel].called(checked_url)[:_NAME_CHARS_MAX]

    def _entry(
        self, principal: Principal | None, action: Action, destination: Destination, detail: str
    ) -> AuditEntry | None:
        merchant_id = destination.merchant_id
        return audit_entry_by(
            principal, self._clock.now(), action, merchant_id=merchant_id, subject=destination.id, detail=detail
        )

    async def _ensure_open(self, merchant_id: int | None) -> None:
        if merchant_id is None:
            return
        with translated():
            account = await self._stores.accounts.find(merchant_id)
        if account is None:
            raise unknown_merchant(merchant_id)
        if account.closed_at is not None:
            raise Refused(MERCHANT_CLOSED)


def _wanted(types: Sequence[str], merchant_id: int | None) -> int:
    """Read which events a destination wants: one or more."""
    kinds = kinds_of("types", types, is_operator=merchant_id is None)
    if not kinds:
        raise InvalidInput("types", "choose one event or more")
    return kinds


def host_of(url: str) -> str:
    """Return the host of a URL."""
    return urlsplit(url).hostname or url


def _name(text: str) -> str:
    """Check what a destination is called; it may be nothing."""
    if not text.strip():
        return ""
    name = inputs.name("name", text.strip())
    if len(name) > _NAME_CHARS_MAX:
        raise InvalidInput("name", f"a name has {_NAME_CHARS_MAX} characters at most")
    return name


def _ensure_on(destination: Destination) -> None:
    if destination.state != DestinationState.ON:
        raise Conflict("nothing is sent there: turn it on first")
