"""The short form of the run that tells events to failing receivers; `make torture` runs the long one."""

import pytest

from tests.torture.told import told_torture


@pytest.mark.timeout(300)
async def test_events_are_told_whatever_fails_and_whoever_is_killed(database_url: str) -> None:
    servers = 1 if database_url.startswith("sqlite") else 2
    figures = await told_torture(database_url, servers=servers, events=150, kills=3, merchants=12, seed_number=1)
    assert figures.events >= 150
    assert (figures.events, 2 * figures.events) == (figures.mails + figures.withdrawn, figures.webhooks)
    assert figures.kills >= 3
    assert figures.webhook_attempts > figures.webhooks
    assert figures.mail_attempts > figures.mails > figures.withdrawn
    assert figures.hanging > 0
