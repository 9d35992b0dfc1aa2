"""How the ledger's outcomes become answers."""

from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from farebox.core.outcomes import Outcome
from farebox.presenters.approvals import approval_data
from farebox.presenters.moves import move_data
from farebox.service.errors import transfer_of, waiting_of
from farebox.service.repeats import Repeats
from farebox.web.api_route import Answer, ApiRequest
from farebox.web.envelope import Headers, success_body

_Thing = TypeVar("_Thing")

_NO_HEADERS: Final[Headers] = []
_REPLAY_HEADERS: Final[Headers] = [(b"idempotent-replay", b"true")]


def answer(data: Struct, headers: Headers = _NO_HEADERS) -> Answer:
    """Answer a success with its data."""
    return Answer(success_body(msgspec.json.encode(data)), headers)


def version_headers(version: str) -> Headers:
    """Name the version of an answer."""
    return [(b"etag", f'"{version}"'.encode())]


def unchanged_answer(request: ApiRequest, version: str) -> Answer | None:
    """Answer 304 without a body if the asker has this version; None if not."""
    named = [value for name, value in request.scope["headers"] if name == b"if-none-match"]
    known = {tag.strip().removeprefix(b"W/") for value in named for tag in value.split(b",")}
    if known.isdisjoint({f'"{version}"'.encode(), b"*"}):
        return None
    return Answer(b"", version_headers(version), HTTPStatus.NOT_MODIFIED)


async def answer_once(
    repeats: Repeats,
    request: ApiRequest,
    body: Struct,
    *,
    make: Callable[..., Awaitable[_Thing]],
    find: Callable[[int], Awaitable[_Thing]],
    data: Callable[[_Thing], Struct],
) -> Answer:
    """Answer with what a request makes, or made when it was first made under its Idempotency-Key.

    Args:
        repeats: knows what requests made.
        request: asks for it.
        body: what is asked for.
        make: makes it; takes who asks and what the request is called as `principal` and `request_key`.
        find: reads what was made, by its number.
        data: writes it as the answer.
    """
    request_key = request.request_key(body)
    made = await repeats.once(request_key, partial(make, principal=request.principal, request_key=request_key), find)
    return answer(data(made.thing), replay_headers(is_replay=made.is_replay))


def replay_headers(*, is_replay: bool) -> Headers:
    """Mark the first answer given again, and the answer to what was so already."""
    return _REPLAY_HEADERS if is_replay else _NO_HEADERS


def waiting_answer(outcome: Outcome) -> Answer | None:
    """Answer that a command waits for a second person; None if it does not.

    Raises:
        Refused: it was refused.
    """
    approval = waiting_of(outcome)
    if approval is None:
        return None
    body = success_body(msgspec.json.encode(approval_data(approval)), HTTPStatus.ACCEPTED)
    return Answer(body, replay_headers(is_replay=outcome.is_replay), HTTPStatus.ACCEPTED)


def answer_move(outcome: Outcome) -> Answer:
    """Answer a move of money by support: done, or waiting for a second person."""
    return waiting_answer(outcome) or answer(
        move_data(transfer_of(outcome)), replay_headers(is_replay=outcome.is_replay)
    )
