"""Books with transfers of any kind, whatever commands make of them, and all of them read back."""

from collections.abc import Iterator, Sequence
from typing import Final

from farebox.core.accounts import Kind
from farebox.core.book import Book
from farebox.core.outcomes import DONE
from farebox.core.state import BatchState, Decision, ReadSet
from farebox.core.transfers import Transfer
from farebox.storage.stores import Stores
from tests.support.ledger import ANN, BEN, NOBODY, add_merchant, book

CURRENCIES: Final = {ANN: "USD", BEN: "EUR", NOBODY: "USD"}
"""The merchants of these books."""

TYPED: Final = (Kind.CHARGE, Kind.CAPTURE, Kind.HOLD, Kind.RELEASE, Kind.EXPIRE, Kind.REFUND)
"""The kinds that have a request type."""

_LENT: Final = 10**15


class RevenueWriter:
    """Writes transfers of any kind into books, and reads all of them back."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self._names: Iterator[int] = iter(range(10**9))

    async def write(
        self,
        merchant_id: int,
        kind: Kind,
        amount: int,
        at: int,
        *,
        given: str | None = None,
        uncollected: int | None = None,
        request_type: str | None = None,
        is_payment: bool = False,
    ) -> Transfer:
        """Add a transfer to a book."""
        written: list[Transfer] = []

        def decide(state: BatchState) -> Decision:
            ledger = Book(state.accounts[merchant_id])
            transfer = ledger.post(
                kind,
                amount,
                at,
                idempotency_key=f"{'owed' if is_payment else 'k'} {next(self._names)}",
                fingerprint=bytes(8),
                request_type=request_type or ("image" if kind in TYPED else None),
                quantity=1 if kind in TYPED else None,
                given=given,
                uncollected=uncollected,
            )
            written.append(transfer)
            return Decision([DONE], accounts=[ledger.account()], transfers=[transfer])

        await self.stores.connector.transact(ReadSet(at, [merchant_id]), decide)
        return written[0]

    async def books(self) -> list[tuple[str, Sequence[Transfer]]]:
        """Read every book whole, each with its currency."""
        return [(CURRENCIES[number], await book(self.stores, number)) for number in CURRENCIES]


async def seeded_writer(stores: Stores) -> RevenueWriter:
    """Add the merchants, who may draw on credit, and write into their books."""
    for number, currency in CURRENCIES.items():
        await add_merchant(stores, number, currency=currency, credit_limit=_LENT)
    return RevenueWriter(stores)
