"""One runner repeats every step of a server's background work, whatever the step does."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from farebox.service.errors import Overloaded
from farebox.service.periodic import RETRY_SECONDS_MAX, Periodic, running
from farebox.storage.interface import StoreUnavailable

Step = Callable[[], Awaitable[float | None]]


class _Over(BaseException):
    """Ends a runner from within."""


async def _pauses(
    monkeypatch: pytest.MonkeyPatch, step: Step, count: int, *, is_pause_first: bool = False
) -> list[float]:
    """Run a step until it has paused so often; return the pauses."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == count:
            raise _Over

    monkeypatch.setattr("farebox.service.periodic.asyncio.sleep", sleep)
    with pytest.raises(_Over):
        await Periodic("things", step, pause_seconds=0.5, is_pause_first=is_pause_first).run()
    return pauses


def _returning(*results: float | Exception | None) -> Step:
    """Make a step that does as it is told, each time."""
    left = list(results)

    async def step() -> float | None:
        result = left.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    return step


async def test_a_step_says_when_it_is_worth_running_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [0.5, 0.0, 7.0] == await _pauses(monkeypatch, _returning(None, 0.0, 7.0), 3)


async def test_a_step_may_begin_with_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [0.5, 7.0] == await _pauses(monkeypatch, _returning(7.0), 2, is_pause_first=True)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), Overloaded(), ZeroDivisionError("odd")])
async def test_what_fails_is_tried_again_less_and_less_often_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    caplog.set_level(logging.INFO, "farebox.background")
    step = _returning(*[error] * 6, None, error, None)
    pauses = await _pauses(monkeypatch, step, 9)
    assert [0.5, 1.0, 2.0, 4.0, RETRY_SECONDS_MAX, RETRY_SECONDS_MAX, 0.5, 0.5, 0.5] == pauses
    messages = [record.getMessage() for record in caplog.records]
    assert ["things go on"] * 2 == messages[1::2]
    assert 4 == len(messages)
    assert all(message.startswith("things wait") for message in messages[::2])


async def test_another_failure_is_logged_as_well(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await _pauses(monkeypatch, _returning(StoreUnavailable("away"), ZeroDivisionError("odd")), 2)
    assert ["WARNING", "ERROR"] == [record.levelname for record in caplog.records]
    assert caplog.records[1].exc_info is not None


async def test_a_pause_that_is_longer_than_any_retry_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise _Over

    monkeypatch.setattr("farebox.service.periodic.asyncio.sleep", sleep)
    with pytest.raises(_Over):
        await Periodic("things", _returning(*[StoreUnavailable("away")] * 3), pause_seconds=30).run()
    assert [30, 30, 30] == pauses


@pytest.mark.parametrize("error", [None, StoreUnavailable("away")])
async def test_a_stop_waits_for_what_is_to_be_done_last(
    caplog: pytest.LogCaptureFixture, error: Exception | None
) -> None:
    stopped: list[str] = []

    async def stop() -> None:
        await asyncio.sleep(0.01)
        stopped.append("things")
        if error is not None:
            raise error

    async with running([Periodic("things", _returning(60.0), pause_seconds=1, on_stop=stop)]):
        await asyncio.sleep(0.01)
    assert ["things"] == stopped
    assert bool(error) == ("things are left as they are: away" in caplog.text)
