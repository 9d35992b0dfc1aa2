"""The one canonical workload that every benchmark shares: who is charged, for what, under which idempotency keys.

Merchants are chosen by Zipf's law: a few are large, most are small. Charges are of five request types, some at a
merchant's own price. Every merchant has a threshold, armed and never reached, and money enough that none is refused.
The hot variant charges one merchant alone, the largest. All choices are seeded, so every run makes the same ones.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from typing import Final, Literal, TypeVar

from msgspec import Struct

from benchmarks.keys import KEY_CHARS, TimeOrderedKeys
from farebox.bootstrap import Farebox
from farebox.core.accounts import Account
from farebox.core.commands import Charge, KeyKind, Payer, TopUp
from farebox.core.outcomes import Outcome
from farebox.service.errors import Conflict
from farebox.service.operator.merchants import NewKey
from farebox.service.people import api_keys
from farebox.storage.records import Merchant

Variant = Literal["spread", "hot"]
VARIANTS: Final[tuple[Variant, ...]] = ("spread", "hot")

MERCHANTS_DEFAULT: Final = 10_000
ZIPF_EXPONENT: Final = 1.1
SEED: Final = 7
DRAWS: Final = 65_536
"""How many choices of a merchant and a request type are drawn before they come round again."""

PRICES: Final = {"image": "0.0085", "page": "0.0125", "geocode": "0.0005", "audio-minute": "0.024", "review": "0.35"}
TYPE_WEIGHTS: Final = (60, 15, 15, 8, 2)
OWN_PRICE: Final = ("image", "0.007")
OWN_PRICE_EVERY: Final = 10
"""One merchant in so many has its own price for images."""

THRESHOLD: Final = "100"
FUNDS_MICROS: Final = 10_000_000 * 1_000_000

_CREATE_AT_ONCE: Final = 100
_TOP_UP_AT_ONCE: Final = 1_000
_DRAWS_MAX: Final = 3

_Made = TypeVar("_Made")


class Member(Struct, frozen=True):
    """A merchant of the workload and its API key."""

    merchant_id: int
    key: str


class Population(Struct, frozen=True):
    """Whom a ledger was seeded with: merchants, the largest first, and the service that charges them."""

    members: list[Member]
    service_key: str


class Draw(Struct, frozen=True):
    """One choice: the merchant's place in the population, and the request type."""

    place: int
    request_type: str


def draws(merchants: int, variant: Variant) -> list[Draw]:
    """Draw merchants and request types, the same ones every time."""
    random = Random(SEED)
    types = random.choices(list(PRICES), TYPE_WEIGHTS, k=DRAWS)
    if variant == "hot":
        return [Draw(0, request_type) for request_type in types]
    weights = itertools.accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, merchants + 1))
    places = random.choices(range(merchants), cum_weights=list(weights), k=DRAWS)
    return [Draw(place, request_type) for place, request_type in zip(places, types, strict=True)]


class Choices(Struct, frozen=True):
    """The draws of a variant, each different one once, and the places of all of them in their order."""

    distinct: list[Draw]
    sequence: list[int]


def choices(merchants: int, variant: Variant) -> Choices:
    """Draw, and tell each choice once, so that what is sent for it is rendered once."""
    drawn = draws(merchants, variant)
    places = {draw: place for place, draw in enumerate(dict.fromkeys(drawn))}
    return Choices([*places], [places[draw] for draw in drawn])


def charges(population: Population, variant: Variant) -> Iterator[Charge]:
    """Yield charges without end, as the API would make them: a service's key, the merchant named by its own."""
    service = api_keys.parse_key(population.service_key)
    payers = [Payer(member.merchant_id, api_keys.digest(member.key)) for member in population.members]
    caller = None if service is None else service.caller
    keys = TimeOrderedKeys()
    for draw in itertools.cycle(draws(len(payers), variant)):
        yield Charge(payers[draw.place], draw.request_type, 1, keys.make(), caller=caller)


def read_request(member: Member, path: str) -> str:
    """Render a request that a merchant reads something of its own with."""
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {member.key}\r\n\r\n"


ONE_REQUEST: Final = '"quantity":1'


def charge_body(member: Member, request_type: str, quantities: str = ONE_REQUEST) -> tuple[str, str]:
    """Render the JSON that charges a merchant: what stands before its idempotency key, and what after."""
    return f'{{"merchant":"{member.key}","type":"{request_type}",{quantities},"idempotencyKey":"', '"}'


def batch_head(service_key: str) -> str:
    """Render the head of a request that charges many at once, but for its length."""
    return (
        f"POST /api/charges/batch HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {service_key}\r\n"
        "content-type: application/json\r\n"
    )


def charge_request(
    member: Member, request_type: str, service_key: str, quantities: str = ONE_REQUEST
) -> tuple[str, str]:
    """Render the request that charges a merchant: what stands before its idempotency key, and what after."""
    start, end = charge_body(member, request_type, quantities)
    head = (
        f"POST /api/charges HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {service_key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(start) + KEY_CHARS + len(end)}\r\n\r\n"
    )
    return head + start, end


async def populate(farebox: Farebox, merchants: int = MERCHANTS_DEFAULT) -> Population:
    """Seed an empty ledger with the workload's merchants, prices and money, through the ordinary services."""
    service = await farebox.services.merchants.create_key(KeyKind.SERVICE, name="benchmark")
    for request_type, price in PRICES.items():
        await farebox.services.prices.set(request_type, price)
    members: list[Member] = []
    for first in range(0, merchants, _CREATE_AT_ONCE):
        numbers = range(first, min(first + _CREATE_AT_ONCE, merchants))
        members.extend(await asyncio.gather(*[_create(farebox, number) for number in numbers]))
    for first in range(0, merchants, _TOP_UP_AT_ONCE):
        top_ups = [TopUp(it.merchant_id, FUNDS_MICROS, "INV-1") for it in members[first : first + _TOP_UP_AT_ONCE]]
        for outcome in await farebox.committer.submit_all(top_ups):
            if not isinstance(outcome, Outcome) or outcome.transfer is None:
                raise RuntimeError(f"a top-up did not go through: {outcome}")
    # The order of size is not the order of creation, by which merchants are numbered.
    Random(SEED).shuffle(members)
    return Population(members, service.text)


async def _create(farebox: Farebox, number: int) -> Member:
    async def create() -> tuple[Merchant, Account, NewKey]:
        return await farebox.services.merchants.create(
            name=f"Merchant {number}", currency="USD", thresholds=[THRESHOLD], credit_limit="0"
        )

    merchant, _, key = await _drawing_again(create)
    if number % OWN_PRICE_EVERY == 0:
        await _drawing_again(lambda: farebox.services.prices.set(*OWN_PRICE, merchant_id=merchant.merchant_id))
    return Member(merchant.merchant_id, key.text)


async def _drawing_again(make: Callable[[], Awaitable[_Made]]) -> _Made:
    """Make something with a number of its own, anew if the number is taken: so many in one millisecond may meet."""
    for _ in range(_DRAWS_MAX - 1):
        with contextlib.suppress(Conflict):
            return await make()
    return await make()
