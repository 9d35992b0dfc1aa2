"""The loop that these tests run on is the server's."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each test on uvloop, as servers do."""
    return {"uvloop": uvloop.new_event_loop}
