"""One process that serves: the application's start, requests until it is told to stop, and an end that cuts off nobody.

It obeys one SIGTERM, at any moment, and ends soon after the process that started it. A SIGINT from outside, such as
Ctrl-C sends to every process of a terminal, is held back: the first process gets it as well and sends SIGTERM.

Where another server has the socket too, a process that stops accepts no more and drains: each connection that it has
gets the answer to what was asked on it, and is closed with that answer. So no client is cut off.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Final

import uvloop
from starlette.types import ASGIApp

from farebox.http.family import Family
from farebox.http.lifespan import Lifespan
from farebox.http.limits import HttpLimits
from farebox.http.listener import Listener

STOP_SECONDS_MAX: Final = 30
"""How long a process may take to finish what it accepted, once it has to stop."""

AT_STOP: Final = "at_stop"
"""Names, in an application's state once it has started, the function that is called first when the process is told to
stop: some answers go on for minutes, and all are waited for."""

_ALARM_SECONDS: Final = STOP_SECONDS_MAX + 5
"""The first process, if it is there, kills the worker before this and says so in the log."""

_PARENT_CHECK_SECONDS: Final = 1.0
"""How often a worker looks whether the first process is still there."""

_POLL_SECONDS: Final = 0.02
"""How often a process that stops looks whether everybody is answered."""


def run(
    make_app: Callable[[], ASGIApp],
    listening: socket.socket,
    limits: HttpLimits,
    *,
    connections_max: int,
    family: Family,
) -> None:
    """Serve until told to stop; signals to stop are held back until then.

    Args:
        make_app: makes what answers requests.
        listening: where connections are accepted.
        limits: what they may have.
        connections_max: how many there are at once; others wait to be accepted.
        family: the first process and its other workers.

    Raises:
        StartFailed: the application did not start.
    """
    app = make_app()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(app, listening, limits, connections_max, family))


async def _serve(
    app: ASGIApp, listening: socket.socket, limits: HttpLimits, connections_max: int, family: Family
) -> None:
    lifespan = Lifespan(app)
    await lifespan.start()
    listener = Listener(app, listening, limits, connections_max=connections_max)
    listener.start()
    await _told_to_stop(family)
    # The system ends the process then, even if it hangs.
    signal.alarm(_ALARM_SECONDS + family.drain_seconds)
    if AT_STOP in lifespan.state:
        lifespan.state[AT_STOP]()
    listener.stop()
    await _drain(listener, time.monotonic() + family.drain_seconds)
    await lifespan.end()


async def _told_to_stop(family: Family) -> None:
    """Wait for SIGTERM, or until the process that started this one is gone."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    family.tell_listening()
    while os.getppid() == family.first and not told.is_set():
        try:
            async with asyncio.timeout(_PARENT_CHECK_SECONDS):
                await told.wait()
        except TimeoutError:
            continue


async def _drain(listener: Listener, deadline: float) -> None:
    """Answer what is asked on open connections until the deadline, and then finish what was asked by then."""
    end = max(deadline, time.monotonic()) + STOP_SECONDS_MAX
    while listener.count and (now := time.monotonic()) < end:
        if now >= deadline:
            listener.close_idle()
        await asyncio.sleep(_POLL_SECONDS)
