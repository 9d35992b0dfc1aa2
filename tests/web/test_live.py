"""Pages that follow their balance: what a stream says, when it ends, and that none holds a server up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from farebox.bootstrap import Farebox
from farebox.service.people.sign_in import TOUCH_MICROS
from farebox.storage.records import Realm, Role
from farebox.web.pages.live import STREAMS_MAX, Live
from tests.support.app_client import AppClient, open_client
from tests.support.clock import later
from tests.support.server import Server, open_farebox, seed
from tests.support.wire import TIMEOUT_S
from tests.web.console.visitor import Visitor

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """One engine will do: a stream reads an account as every page does."""
    return f"sqlite:///{tmp_path / 'farebox.db'}"


@pytest.fixture
async def farebox(database_url: str) -> AsyncIterator[Farebox]:
    async with open_farebox(database_url) as farebox:
        yield farebox


@pytest.fixture
async def ann(farebox: Farebox) -> Visitor:
    """The owner of the account that is followed."""
    return await Visitor.sign_in(farebox, await open_client(farebox), Realm.MERCHANT, "ann@northwind.example")


@pytest.fixture
async def path(farebox: Farebox, ann: Visitor) -> str:
    """Where Ann's account is followed."""
    seeds = await seed(farebox)
    await farebox.services.merchants.add_user(seeds.merchant_id, ann.signed_in.login.email, role=Role.OWNER)
    return f"/accounts/{seeds.merchant}/live"


def quick_streams() -> Live:
    """Make streams that read their accounts, and check their readers, all the time."""
    return Live(poll_seconds=0, heartbeat_seconds=0)


async def begin(server: Server, path: str, who: Visitor, method: str = "GET") -> Streams:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"{method} {path} HTTP/1.1\r\nhost: x\r\n{': '.join(who.cookie)}\r\n\r\n".encode())
    return reader, writer


async def status(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(TIMEOUT_S):
        head = await reader.readuntil(b"\r\n\r\n")
    return int(head.split()[1])


@asynccontextmanager
async def closing(*streams: Streams) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for _, writer in streams:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def test_a_server_with_open_streams_stops_and_ends_them(
    database_url: str, farebox: Farebox, ann: Visitor, path: str
) -> None:
    """A stop waits for every answer that was begun: were streams not told, it would end in the workers being killed."""
    with Server(database_url) as server:
        streams = [await begin(server, path, ann) for _ in range(20)]
        async with closing(*streams):
            assert {200} == {await status(reader) for reader, _ in streams}
            assert 0 == await asyncio.to_thread(server.stop)
            for reader, _ in streams:
                assert (await reader.read()).endswith(b"0\r\n\r\n"), "the stream was cut off"
        assert "killed" not in server.log().lower()


async def test_a_change_by_any_process_is_told_and_a_reader_who_leaves_makes_room(
    database_url: str, farebox: Farebox, ann: Visitor, path: str
) -> None:
    with Server(database_url) as server:
        streams = [await begin(server, path, ann) for _ in range(STREAMS_MAX)]
        async with closing(*streams):
            assert {200} == {await status(reader) for reader, _ in streams}
            reader, _ = streams[0]
            await reader.readuntil(b"retry: 3000\n\n")
            (merchant, _), *_ = await farebox.services.merchants.list()
            await farebox.services.operations.top_up(
                merchant.merchant_id, amount="1", reference="R", note=None, principal=None
            )
            async with asyncio.timeout(TIMEOUT_S):
                await reader.readuntil(b"event: changed\ndata: \n\n")
            one_more = await begin(server, path, ann)
            async with closing(one_more):
                assert 503 == await status(one_more[0])
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                again = await begin(server, path, ann)
                async with closing(again):
                    if await status(again[0]) == 200:
                        break


async def test_asking_for_the_head_of_a_stream_begins_none(farebox: Farebox, ann: Visitor, path: str) -> None:
    streams = Live()
    client = await open_client(farebox, live=streams)
    reply = await client.send("HEAD", path, headers=[ann.cookie])
    assert (200, b"") == (reply.status, reply.body)
    assert 0 == streams.count


async def test_a_stream_ends_with_the_session_that_began_it(farebox: Farebox, ann: Visitor, path: str) -> None:
    streams = quick_streams()
    client = await open_client(farebox, live=streams)
    following = asyncio.create_task(client.get(path, headers=[ann.cookie]))
    await until_one_follows(streams)
    await farebox.services.sign_in.sign_out(ann.signed_in)
    reply = await asyncio.wait_for(following, TIMEOUT_S)
    assert reply.body.startswith(b"retry: 3000\n\n")
    assert reply.body.endswith(b":\n\n")
    assert 0 == streams.count


async def test_a_stream_ends_when_whoever_follows_is_removed(farebox: Farebox, ann: Visitor, path: str) -> None:
    streams = quick_streams()
    following = asyncio.create_task((await open_client(farebox, live=streams)).get(path, headers=[ann.cookie]))
    await until_one_follows(streams)
    (merchant, _), *_ = await farebox.services.merchants.list()
    await farebox.services.users.remove(
        merchant.merchant_id, ann.signed_in.login.email, is_owner_needed=False, principal=None
    )
    await asyncio.wait_for(following, TIMEOUT_S)


async def test_a_stream_ends_when_its_reader_goes_away(farebox: Farebox, ann: Visitor, path: str) -> None:
    streams = quick_streams()
    client = await open_client(farebox, live=streams)
    reply = await asyncio.wait_for(client.send("GET", path, headers=[ann.cookie], is_cut_short=True), TIMEOUT_S)
    assert 200 == reply.status
    assert 0 == streams.count


async def test_a_database_that_is_away_ends_no_stream(farebox: Farebox, ann: Visitor, path: str) -> None:
    streams = quick_streams()
    following = asyncio.create_task((await open_client(farebox, live=streams)).get(path, headers=[ann.cookie]))
    await until_one_follows(streams)
    await farebox.stores.connector.close()
    await asyncio.sleep(0.05)
    assert 1 == streams.count
    await farebox.stores.connector.open()
    streams.close()
    assert 200 == (await asyncio.wait_for(following, TIMEOUT_S)).status


async def test_no_stream_begins_while_the_process_stops(farebox: Farebox, ann: Visitor, path: str) -> None:
    streams = Live()
    streams.close()
    reply = await (await open_client(farebox, live=streams)).get(path, headers=[ann.cookie])
    assert 503 == reply.status


async def test_an_open_page_keeps_nobody_signed_in(farebox: Farebox, ann: Visitor, path: str) -> None:
    """Or else a reader who leaves a page open would never be signed out."""

    async def last_seen() -> int:
        (session,) = await farebox.services.sign_in.sessions(ann.signed_in)
        return session.seen_at

    client: AppClient = await open_client(farebox, live=quick_streams())
    before = await last_seen()
    with later(farebox, seconds=2 * TOUCH_MICROS / 1_000_000):
        await client.send("GET", path, headers=[ann.cookie], is_cut_short=True)
        assert 200 == (await client.get(path.removesuffix("live") + "now", headers=[ann.cookie])).status
        assert before == await last_seen()
        assert 200 == (await client.get(path.removesuffix("/live"), headers=[ann.cookie])).status
        assert before < await last_seen()


async def until_one_follows(streams: Live) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not streams.count:
            await asyncio.sleep(0)
