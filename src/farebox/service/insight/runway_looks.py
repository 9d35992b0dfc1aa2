"""Looks at runways: whether a merchant's money lasts for fewer days than one of its thresholds, which is then told."""

from collections.abc import Sequence

from farebox.core.alerting.runway_thresholds import RunwayEpisode, look
from farebox.core.book import ARRIVING_KINDS
from farebox.service.insight.forecast import Forecast, RunwayState
from farebox.storage.alerting.runway_episodes import RunwayLook
from farebox.storage.stores import Stores


async def look_at_runway(
    stores: Stores, merchant_id: int, thresholds: Sequence[int], forecast: Forecast, now: int
) -> None:
    """Hold a merchant's forecast of this moment to its thresholds in days left, and tell what is to be told.

    Most looks read what is known of the thresholds, and write nothing.

    Raises:
        StorageError: the database is away.
    """
    episodes = await stores.runway_episodes.list(merchant_id)
    until: int | None = None
    facts: tuple[tuple[str, int], ...] = ()
    runway = forecast.runway
    if runway is not None and forecast.state is RunwayState.KNOWN:
        until = runway.until
        facts = tuple((name, getattr(runway, name)) for name in ("until", "until_low", "until_high", "burn_per_day"))
    arrived_seq = await _arrived_seq(stores, merchant_id, episodes)
    known, due = look(merchant_id, thresholds, episodes, until=until, now=now, arrived_seq=arrived_seq)
    if due or known != list(episodes):
        await stores.runway_episodes.tell_of(RunwayLook(merchant_id, now, until, arrived_seq, facts))


async def _arrived_seq(stores: Stores, merchant_id: int, episodes: Sequence[RunwayEpisode]) -> int:
    """Find the last transfer that brought money since a threshold was told of; 0 if there is none."""
    told = [episode.told_seq for episode in episodes if episode.told_seq is not None]
    if not told:
        return 0
    funding = await stores.transfers.funding_after(merchant_id, min(told) + 1)
    return max((transfer.seq for transfer in funding if transfer.kind in ARRIVING_KINDS), default=0)
