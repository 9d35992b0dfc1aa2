"""Pages that follow their balance: what a stream says, when it ends, and that none holds a server up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core.commands import Charge, KeyKind, Payer
from farebox.core.outcomes import Outcome
from farebox.service.people.sign_in import TOUCH_MICROS
from farebox.storage.records import Realm, Role
from farebox.web.long_answers import CHECK_SECONDS
from farebox.web.pages.live import Live, LiveLimits
from tests.support.app_client import AppClient, Reply, open_client
from tests.support.clock import later
from tests.support.server import Server, open_farebox, seed
from tests.support.wire import TIMEOUT_S
from tests.web.console.visitor import Visitor

EXPORTED: Final = 30_000
"""How many transfers an export has that does not fit into what lies between server and client."""

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
    return Live(LiveLimits(poll_seconds=0, heartbeat_seconds=0, check_seconds=0))


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
        streams = [await begin(server, path, who) for who in [ann, *await friends(farebox, ann, 20)]]
        async with closing(*streams):
            assert {200} == {await status(reader) for reader, _ in streams}
            assert 0 == await asyncio.to_thread(server.stop)
            for reader, _ in streams:
                assert (await reader.read()).endswith(b"0\r\n\r\n"), "the stream was cut off"
        assert "killed" not in server.log().lower()


async def test_a_change_by_any_process_is_told(database_url: str, farebox: Farebox, ann: Visitor, path: str) -> None:
    with Server(database_url) as server:
        stream = await begin(server, path, ann)
        async with closing(stream):
            reader, _ = stream
            await reader.readuntil(b"retry: 3000\n\n")
            (merchant, _), *_ = await farebox.services.merchants.list()
            await farebox.services.operations.top_up(
                merchant.merchant_id, amount="1", reference="R", note=None, principal=None
            )
            async with asyncio.timeout(TIMEOUT_S):
                await reader.readuntil(b"event: changed\ndata: \n\n")


async def test_more_pages_of_one_browser_end_its_oldest_stream_and_no_one_elses(
    database_url: str, farebox: Farebox, ann: Visitor, path: str
) -> None:
    """The last page that was opened is the one that is looked at; the others ask by themselves."""
    (ben,) = await friends(farebox, ann, 1)
    with Server(database_url) as server:
        bens = await begin(server, path, ben)
        anns = []
        async with closing(bens):
            for _ in range(3 * LiveLimits().session_streams_max):
                anns.append(await begin(server, path, ann))
                assert 200 == await status(anns[-1][0])
            async with closing(*anns), asyncio.timeout(TIMEOUT_S):
                for reader, _ in anns[: -LiveLimits().session_streams_max]:
                    assert b"event: enough\ndata: \n\n" in await reader.readuntil(b"\r\n0\r\n\r\n")
                for reader, _ in [bens, *anns[-LiveLimits().session_streams_max :]]:
                    await reader.readuntil(b"retry: 3000\n\n")
                    assert not reader.at_eof()


async def test_a_session_that_is_ended_elsewhere_takes_its_streams_with_it_within_two_seconds(
    database_url: str, farebox: Farebox, ann: Visitor, path: str
) -> None:
    ben, cid = await friends(farebox, ann, 2)
    (merchant, _), *_ = await farebox.services.merchants.list()
    with Server(database_url) as server:
        streams = [await begin(server, path, who) for who in (ann, ben, cid)]
        async with closing(*streams):
            assert [200] * 3 == [await status(reader) for reader, _ in streams]
            await farebox.services.sign_in.sign_out(ann.signed_in)
            await farebox.services.users.remove(
                merchant.merchant_id, ben.signed_in.login.email, is_owner_needed=False, principal=None
            )
            async with asyncio.timeout(2):
                for reader, _ in streams[:2]:
                    await reader.readuntil(b"\r\n0\r\n\r\n")
            assert not streams[2][0].at_eof()


@pytest.mark.parametrize("limit", ["session_streams_max", "login_streams_max", "address_streams_max", "streams_max"])
async def test_the_one_who_has_most_makes_room_and_who_comes_is_let_in(
    farebox: Farebox, ann: Visitor, path: str, limit: str
) -> None:
    limits = LiveLimits(poll_seconds=0.001, **{limit: 3})
    live = Live(limits)
    client = await open_client(farebox, live=live)
    others = [ann] * 2 if limit in ("session_streams_max", "login_streams_max") else await friends(farebox, ann, 2)
    followers = [others[0], ann, ann, others[1]]
    following = []
    for number, who in enumerate(followers, start=1):
        following.append(asyncio.create_task(client.get(path, headers=[who.cookie])))
        await until_follow(live, min(number, 3), following)
    # Of the streams of the one with the most, the oldest ends; whoever came last is let in.
    ended = 0 if others[0] is ann else 1
    reply = await asyncio.wait_for(following.pop(ended), TIMEOUT_S)
    assert reply.body.endswith(b"event: enough\ndata: \n\n")
    assert 3 == live.count
    assert not any(task.done() for task in following)
    live.close()
    assert {200} == {reply.status for reply in await asyncio.gather(*following)}


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


async def test_a_stream_that_begins_while_the_process_stops_ends_at_once(
    farebox: Farebox, ann: Visitor, path: str
) -> None:
    """Browsers come again after one that has ended, and by then to the next server; after an error they never do."""
    streams = Live()
    streams.close()
    reply = await asyncio.wait_for(
        (await open_client(farebox, live=streams)).get(path, headers=[ann.cookie]), TIMEOUT_S
    )
    assert (200, b"retry: 3000\n\n") == (reply.status, reply.body)


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


@pytest.mark.parametrize("who", ["a key that is revoked", "a user who is removed", "a session that is ended"])
async def test_an_export_is_cut_off_once_its_reader_may_not_read_it_any_more(
    database_url: str, farebox: Farebox, ann: Visitor, path: str, who: str
) -> None:
    (merchant, _), *_ = await farebox.services.merchants.list()
    merchant_id = merchant.merchant_id
    for start in range(0, EXPORTED, 1_000):
        keys = [f"k{number:0200}" for number in range(start, start + 1_000)]
        charges = [Charge(Payer(merchant_id), "call", 1, key, amount=1_000) for key in keys]
        assert all(
            isinstance(outcome, Outcome) and outcome.is_ok for outcome in await farebox.committer.submit_all(charges)
        )
    key = await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=merchant_id)
    export = path.removesuffix("live") + "statement.jsonl"
    with Server(database_url) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = (
            f"GET /api/transfers?format=jsonl HTTP/1.1\r\nhost: x\r\nx-api-key: {key.text}\r\n\r\n"
            if who == "a key that is revoked"
            else f"GET {export} HTTP/1.1\r\nhost: x\r\n{': '.join(ann.cookie)}\r\n\r\n"
        )
        writer.write(head.encode())
        async with closing((reader, writer)):
            assert 200 == await status(reader)
            # The rest waits until it is taken.
            if who == "a key that is revoked":
                await farebox.services.merchants.revoke_key(key.key.key_id)
            elif who == "a session that is ended":
                await farebox.services.sign_in.sign_out(ann.signed_in)
            else:
                email = ann.signed_in.login.email
                await farebox.services.users.remove(merchant_id, email, is_owner_needed=False, principal=None)
            await asyncio.sleep(CHECK_SECONDS)
            async with asyncio.timeout(TIMEOUT_S):
                rest = await reader.read()
        # Neither the statement's trailer nor the end of the answer came.
        assert b'"lastSeq"' not in rest[-2_000:]
        assert not rest.endswith(b"0\r\n\r\n")
        assert "Traceback" not in server.log()


async def friends(farebox: Farebox, ann: Visitor, count: int) -> list[Visitor]:
    """Sign more people in to Ann's account."""
    (merchant, _), *_ = await farebox.services.merchants.list()
    visitors = []
    for number in range(count):
        email = f"friend{number}@northwind.example"
        visitors.append(await Visitor.sign_in(farebox, ann.client, Realm.MERCHANT, email))
        await farebox.services.merchants.add_user(merchant.merchant_id, email, role=Role.VIEWER)
    return visitors


async def until_follow(live: Live, count: int, following: list["asyncio.Task[Reply]"]) -> None:
    """Wait until the last one who came follows, and no more than so many do."""
    async with asyncio.timeout(TIMEOUT_S):
        while live.count != count or sum(not task.done() for task in following) != count:
            await asyncio.sleep(0.001)


async def until_one_follows(streams: Live) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not streams.count:
            await asyncio.sleep(0)
