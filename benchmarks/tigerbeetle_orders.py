"""What TigerBeetle's client is asked to do, written here because the client need not be installed."""

from msgspec import Struct


class Fill(Struct, tag=True):
    """Make accounts of merchants, by the numbers 1 to `merchants`, and for each the operator's, and fund the first."""

    address: str
    merchants: int
    micros: int


class Sum(Struct, tag=True):
    """Sum up what all merchants were debited, in micros."""

    address: str
    merchants: int


class Load(Struct, tag=True):
    """Charge for so long, by so many callers, each of which has one request at a time, with `batch` transfers in it.

    `charges` are merchants, micros and codes, taken by `sequence`. Without random ids they are TigerBeetle's own, which
    are in order of time.
    """

    address: str
    seconds: float
    warm_up_seconds: float
    callers: int
    batch: int
    charges: list[tuple[int, int, int]]
    sequence: list[int]
    has_random_ids: bool


Order = Fill | Sum | Load
