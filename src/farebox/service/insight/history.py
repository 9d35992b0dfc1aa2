"""The balance over the last days as a line, read from the book itself, and the cone in which the forecast goes on.

The days' stretch of the book is found by binary search over seq. Transfers evenly spread over it are read at once;
where two neighbours are more than a cell of time apart, the one in the middle is read as well, until they are near or
nothing lies between them. So a flat line is one because nothing moved, a slope is shorter than a cell and holds no
top-up, and for a book of any length a few hundred transfers are read. See docs/decisions/0007-burn-from-the-book.md.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from farebox.core.accounts import EFFECTS, Account, Kind
from farebox.core.transfers import Transfer
from farebox.service.clock import Clock
from farebox.service.errors import translated
from farebox.service.insight.burn_model import DAY, BurnCurves
from farebox.service.insight.forecast import Losses, Runway
from farebox.service.statements.seek import last_transfers, transfers_at
from farebox.storage.transfers import TransferStore

CELLS: Final = 180
"""Into how many cells the time is cut: four hours each of 30 days."""

MARKS_MAX: Final = 50
"""How many top-ups are marks; older ones are points like others. As many reversals and adjustments are exact steps."""

POINTS_MAX: Final = 3 * CELLS + 4 * MARKS_MAX + 3
"""How many points a line has at most; most have about as many as there are cells."""


class Mark(Struct, frozen=True):
    """A top-up: when, how much, and the posted balance that it left; microseconds since 1970 and micros."""

    at: int
    amount: int
    posted: int


class History(Struct, frozen=True):
    """The posted balance as a line of points, oldest first, up to now; at least one. Microseconds since 1970, micros.

    Each point is a balance that the book had at that time. A step is two points of one time.
    """

    points: tuple[tuple[int, int], ...]
    marks: tuple[Mark, ...]


class Cone(Struct, frozen=True):
    """Where the forecast goes: from the posted balance now down to where it is used up, at three paces.

    That is at `floor`: zero, or as far below as the credit limit lets it go. `fast`, `usual` and `slow` are the times
    at which it is reached, microseconds since 1970, in that order. Each goes down as its burn does by day and by night,
    evenly if there are no `curves`, and by a step where given credit ends unspent at its pace.
    """

    now: int
    posted: int
    floor: int
    fast: int
    usual: int
    slow: int
    fast_losses: Losses = ()
    usual_losses: Losses = ()
    slow_losses: Losses = ()
    curves: BurnCurves | None = None


class HistoryReader:
    """Reads histories."""

    def __init__(
        self, transfers: TransferStore, clock: Clock, *, cells: int = CELLS, marks_max: int = MARKS_MAX
    ) -> None:
        """Read these books, with a line as fine as `cells` and `marks_max` say."""
        self._transfers = transfers
        self._clock = clock
        self._cells = cells
        self._marks_max = marks_max

    async def read(self, account: Account, *, days: int = 30) -> History:
        """Read the posted balance over the last days, as far back as the book goes.

        It takes a query for each doubling of the book's length, one for each doubling of the days' stretch beyond
        CELLS transfers, and three more. The book only grows, so what is read is of one piece without a transaction.

        Args:
            account: the merchant's account; transfers later than its own last one are not seen.
            days: how many days of 24 hours.

        Raises:
            Unavailable: the database can't be read.
        """
        # A clock that was set back is behind the book.
        now = max(self._clock.now(), account.last_at)
        with translated():
            return await self._read(account, start=now - days * DAY, now=now)

    async def between(self, account: Account, *, start: int, end: int) -> History:
        """Read the posted balance between two times, as far back as the book goes; as `read` does, and one search more.

        Args:
            account: the merchant's account; transfers later than its own last one are not seen.
            start: microseconds since 1970.
            end: the first time that does not count any more.

        Raises:
            Unavailable: the database can't be read.
        """
        with translated():
            (last,) = await last_transfers(self._transfers, account, [end - 1])
            then = (0, 0, 0) if last is None else (last.seq, last.wallet_after, last.held_after)
            seq, wallet, held = then
            ended = replace(account, seq=seq, wallet=wallet, held=held)
            return await self._read(ended, start=start - 1, now=end)

    async def _read(self, account: Account, *, start: int, now: int) -> History:
        (before,) = await last_transfers(self._transfers, account, [start])
        first_seq = 1 if before is None else before.seq + 1
        if first_seq > account.seq:
            points = () if before is None else ((start, before.posted_after),)
            return History((*points, (now, account.posted)), ())
        first = (await transfers_at(self._transfers, account.merchant_id, {first_seq}))[first_seq]
        begin = first.committed_at if before is None else start
        funding = [
            item
            for item in await self._transfers.funding_after(account.merchant_id, first_seq)
            if item.seq <= account.seq
        ]
        marked = [item for item in funding if item.kind == Kind.TOP_UP][-self._marks_max :]
        others = [item for item in funding if item.kind != Kind.TOP_UP][-self._marks_max :]
        steps = {item.seq: item for item in (*marked, *others)}
        cell = (now - begin) // self._cells
        samples = await self._samples(account, {first_seq: first, **steps}, first_seq=first_seq, cell=cell)
        line = _line([(begin, _posted_before(first))], samples, steps.keys(), cell=cell)
        _extend(line, now, account.posted)
        return History(tuple(line), tuple(Mark(item.committed_at, item.amount, item.posted_after) for item in marked))

    async def _samples(
        self, account: Account, known: Mapping[int, Transfer], *, first_seq: int, cell: int
    ) -> list[Transfer]:
        """Read transfers from `first_seq` on, in order, so many that neighbours are near or nothing is between them."""
        samples = dict(known)
        apart = account.seq - first_seq
        wanted = {first_seq + apart * number // self._cells for number in range(self._cells + 1)}
        while missing := wanted - samples.keys():
            samples.update(await transfers_at(self._transfers, account.merchant_id, missing))
            wanted = {
                (item.seq + other.seq) // 2
                for item, other in pairwise(samples[seq] for seq in sorted(samples))
                if other.seq - item.seq > 1 and other.committed_at - item.committed_at > cell
            }
        return [samples[seq] for seq in sorted(samples)]


def cone_of(runway: Runway | None, *, posted: int, credit_limit: int, now: int) -> Cone | None:
    """Draw a runway as a cone from the posted balance; None if there is none, or nothing left that could run out."""
    if runway is None or posted <= -credit_limit or runway.until <= now:
        return None
    times = (max(runway.until_low, now), runway.until, runway.until_high)
    losses = (runway.losses_low, runway.losses, runway.losses_high)
    return Cone(now, posted, -credit_limit, *times, *losses, runway.curves)


def _line(
    line: list[tuple[int, int]], samples: Sequence[Transfer], steps: Collection[int], *, cell: int
) -> list[tuple[int, int]]:
    """Draw a line on through samples: steps as they were, and of others that lie together within a cell the last."""
    for index, item in enumerate(samples):
        at, last_at = item.committed_at, line[-1][0]
        is_step = item.seq in steps
        if not is_step and index + 1 < len(samples) and samples[index + 1].committed_at - last_at <= cell:
            continue
        # After a gap the sample before was kept, and it is the transfer before.
        if is_step or at - last_at > cell:
            _extend(line, at, _posted_before(item))
        _extend(line, at, item.posted_after)
    return line


def _extend(line: list[tuple[int, int]], at: int, posted: int) -> None:
    if line[-1] != (at, posted):
        line.append((at, posted))


def _posted_before(transfer: Transfer) -> int:
    effect = EFFECTS[Kind(transfer.kind)]
    return transfer.posted_after - (effect.wallet + effect.held) * transfer.amount
