"""Requests that are made again: what one made under an idempotency key is made once, however often it is asked for."""

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from msgspec import Struct

from farebox.core.outcomes import Code, refused
from farebox.service.clock import Clock
from farebox.service.errors import Conflict, FateUnknown, Missing, Refused, translated
from farebox.storage.interface import Repeated
from farebox.storage.records import REPEATS_KEPT_MICROS, Repeat
from farebox.storage.stores import Stores

KEPT_DAYS: Final = REPEATS_KEPT_MICROS // 86_400_000_000
"""How long a repeat is known as one."""

FORGET_SECONDS: Final = 3600.0
"""How often those that are too old are removed; they count no more before that."""

FORMS: Final = 0
"""Stands for the caller of forms: what they name their requests by is random, so nobody else has it."""

_Thing = TypeVar("_Thing")


class RequestKey(Struct, frozen=True):
    """What a caller named its request by: idempotency keys are told apart by the API key, or forms, that sent them.

    `fingerprint` is made of what was asked for, so that another request under the same key is refused.
    """

    key_id: int
    idempotency_key: str
    fingerprint: bytes

    def makes(self, made_id: int, now: int) -> Repeat:
        """Return the row by which a repeat finds what this request makes."""
        return Repeat(self.key_id, self.idempotency_key, self.fingerprint, made_id, now)


def repeat_of(request_key: RequestKey | None, made_id: int, now: int) -> Repeat | None:
    """Return the row by which a repeat finds what a request makes; None if the caller did not name the request."""
    return None if request_key is None else request_key.makes(made_id, now)


class Made(Struct, Generic[_Thing], frozen=True):
    """What a request made, now or, if `is_replay`, when it was first made."""

    thing: _Thing
    is_replay: bool


class Repeats:
    """Sees to it that repeats make nothing more. Every method may raise Unavailable."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        """Keep what was made in these stores."""
        self._stores = stores
        self._clock = clock

    async def once(
        self,
        request_key: RequestKey | None,
        make: Callable[[], Awaitable[_Thing]],
        find: Callable[[int], Awaitable[_Thing]],
    ) -> Made[_Thing]:
        """Make something, unless the same request made it before.

        Args:
            request_key: what the caller named its request by; None if it did not.
            make: makes it, and uses the request key up in the same transaction.
            find: reads what was made, by its number.

        Raises:
            Refused: the key was used for another request.
            Conflict: what was made is no longer there.
        """
        if request_key is None:
            return Made(await make(), is_replay=False)
        made_id = await self._made_id(request_key)
        if made_id is None:
            try:
                return Made(await make(), is_replay=False)
            except FateUnknown as error:
                raise FateUnknown from error
            except Repeated:
                # The same request, at the same time, was first.
                made_id = await self._made_id(request_key)
        try:
            return Made(await find(made_id or 0), is_replay=True)
        except Missing as error:
            raise Conflict("what this request made is no longer there; name the request otherwise") from error

    async def bind(self, request_key: RequestKey | None) -> None:
        """Let a key stand for this request alone, which is safe to make again by itself.

        Raises:
            Refused: the key was used for another request.
        """
        if request_key is not None and await self._made_id(request_key) is None:
            with translated():
                try:
                    await self._stores.repeats.claim(request_key.makes(0, self._clock.now()))
                except Repeated:
                    await self._made_id(request_key)

    async def forget_old(self) -> None:
        """Forget what is too long ago to be repeated."""
        await self._stores.repeats.forget(self._clock.now())

    async def _made_id(self, request_key: RequestKey) -> int | None:
        with translated():
            repeat = await self._stores.repeats.find(request_key.key_id, request_key.idempotency_key, self._clock.now())
        if repeat is None:
            return None
        if repeat.fingerprint != request_key.fingerprint:
            raise Refused(refused(Code.IDEMPOTENCY_CONFLICT, "This idempotency key was used for another request"))
        return repeat.made_id
