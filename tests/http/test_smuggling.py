"""Bytes that two programs read in two ways: they are refused, or are one request; none behind them is another."""

import pytest

from farebox.http.connection import TARGET_BYTES_MAX
from tests.http.applications import GET, Echo, get, post
from tests.support.wire import calling, serving

POST = b"POST /first HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = get(b"/smuggled")


@pytest.mark.parametrize(
    "head",
    [
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        POST + b"Content-Length: 5, 5\r\n\r\nhello",
        POST + b"Content-Length: +5\r\n\r\nhello",
        POST + b"Content-Length: -5\r\n\r\nhello",
        POST + b"Content-Length: 0x5\r\n\r\nhello",
        POST + b"Content-Length: 5 0\r\n\r\nhello",
        POST + b"Content-Length:\r\n\r\n",
        POST + b"Content-Length: 99999999999999999999\r\n\r\n",
        POST + b"Content-Length : 5\r\n\r\nhello",
        POST + b"Content-Length\t: 5\r\n\r\nhello",
        POST + b"Content-\r\nLength: 5\r\n\r\nhello",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: identity\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
        POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding:\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST.replace(b"\r\n", b"\n") + b"\n",
        POST + b"A: b\nContent-Length: 5\r\n\r\nhello",
        POST + b"A: b\rContent-Length: 5\r\n\r\nhello",
        POST + b"A: b\r\n\n",
        POST + b"A: b\r\n c\r\n\r\n",
        POST + b"A: b\r\n\tc\r\n\r\n",
        b"POST /first HTTP/1.1\r\n A: b\r\nHost: x\r\n\r\n",
        POST + b"A: b\0c\r\n\r\n",
        POST + b"A\0: b\r\n\r\n",
        POST + b"A b: c\r\n\r\n",
        POST + b": b\r\n\r\n",
        POST + b"A\r\n\r\n",
        POST + b"Host: y\r\n\r\n",
        POST.replace(b"Host: x\r\n", b"") + b"\r\n",
        POST.replace(b"1.1", b"1.0") + b"Host: y\r\n\r\n",
        b"GET /first HTTP/1.1 \r\nHost: x\r\n\r\n",
        b"GET /first a HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET\t/first HTTP/1.1\r\nHost: x\r\n\r\n",
        b"get /first HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET first HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /first http/1.1\r\nHost: x\r\n\r\n",
        b"GET /first HTTP/1.2\r\nHost: x\r\n\r\n",
        b"GET /first HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /first HTTP/0.9\r\nHost: x\r\n\r\n",
        b"GET /first\r\n\r\n",
        b"GET /fi\0rst HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /f\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://a:b/first HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
@pytest.mark.parametrize("pieces", [1, 9])
async def test_a_head_that_may_be_read_in_two_ways_is_refused_and_so_is_all_behind_it(head: bytes, pieces: int) -> None:
    echo = Echo()
    async with serving(echo) as listener, calling(listener) as caller:
        await caller.send(GET)
        assert 200 == (await caller.answer()).status
        await caller.send(head + SMUGGLED, pieces=pieces)
        told = await caller.answer()
        await caller.send(SMUGGLED)
        assert (400, b"", True, b"") == (told.status, told.body, told.is_last, await caller.rest())
    assert ["/"] == [scope["path"] for scope in echo.scopes]


@pytest.mark.parametrize(
    "chunks",
    [
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"5;a\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b'5;a="b\r\nc"\r\nhello\r\n0\r\n\r\n',
        b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nA: b\nC: d\r\n\r\n",
        b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
        b"5\r\nhello\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"5\r\nhello\r\n0\r\n A: b\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
    ],
)
@pytest.mark.parametrize("pieces", [1, 9])
async def test_a_body_that_may_be_read_in_two_ways_is_none_and_nothing_behind_it_is_asked(
    chunks: bytes, pieces: int
) -> None:
    echo = Echo()
    async with serving(echo) as listener, calling(listener) as caller:
        await caller.send(CHUNKED + chunks + SMUGGLED, pieces=pieces)
        await caller.send(SMUGGLED)
        received = await caller.rest()
    assert [] == echo.bodies
    assert ["/first"] == [scope["path"] for scope in echo.scopes]
    assert b"200" not in received


@pytest.mark.parametrize("pieces", [1, 9])
@pytest.mark.parametrize("behind", [b"GARBAGE\r\n\r\n", b"\0", b"GET / HTTP/1.1\r\n\r\n"])
async def test_what_is_no_request_behind_a_whole_one_is_refused_after_its_answer(behind: bytes, pieces: int) -> None:
    echo = Echo()
    async with serving(echo) as listener, calling(listener) as caller:
        await caller.send(CHUNKED + b'5;a=b;c="d"\r\nhello\r\n0\r\nA: b\r\n\r\n' + behind + SMUGGLED, pieces=pieces)
        assert 200 == (await caller.answer("POST")).status
        told = await caller.answer()
        await caller.send(SMUGGLED)
        assert (400, True, b"") == (told.status, told.is_last, await caller.rest())
    assert [b"hello"] == echo.bodies


async def test_nothing_is_answered_behind_the_last_request() -> None:
    echo = Echo()
    async with serving(echo) as listener, calling(listener) as caller:
        await caller.send(post(b"hello", b"Connection: close") + SMUGGLED)
        told = await caller.answer("POST")
        await caller.send(SMUGGLED)
        assert (200, True, b"") == (told.status, told.is_last, await caller.rest())
    assert 1 == len(echo.scopes)


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        ("/a%20b%2Fc%c3%a9%25", "/a b/cé%", "/a%20b%2Fc%c3%a9%25", ""),
        ("/a+b?c+d=%20&e", "/a+b", "/a+b", "c+d=%20&e"),
        ("//a//b/", "//a//b/", "//a//b/", ""),
        ("/a/../b/./c", "/a/../b/./c", "/a/../b/./c", ""),
        ("/?", "/", "/", ""),
        ("/a?b?c", "/a", "/a", "b?c"),
        ("*", "*", "*", ""),
        ("http://user@other:81/a%20b?c", "/a b", "/a%20b", "c"),
        ("http://other", "/", "/", ""),
        ("http://other?a", "/", "/", "a"),
        ("https://[::1]:81/a", "/a", "/a", ""),
        ("/" + "a" * (TARGET_BYTES_MAX - 1), "/" + "a" * (TARGET_BYTES_MAX - 1), None, ""),
    ],
)
async def test_a_target_is_given_as_it_was_sent(target: str, path: str, raw_path: str | None, query: str) -> None:
    echo = Echo()
    async with serving(echo) as listener, calling(listener) as caller:
        client = caller.connection.getsockname()
        await caller.send(f"OPTIONS {target} HTTP/1.1\r\nHost: x\r\nA:\r\nB: c\r\n\r\n".encode())
        assert 200 == (await caller.answer("OPTIONS")).status
    (scope,) = echo.scopes
    given = (scope["path"], scope["raw_path"].decode(), scope["query_string"].decode())
    assert (path, raw_path if raw_path is not None else path, query) == given
    host = {"http": b"other", "https": b"[::1]:81"}.get(target.partition("://")[0] if "://" in target else "", b"x")
    host = b"other:81" if "@" in target else host
    assert [(b"host", host), (b"a", b""), (b"b", b"c")] == scope["headers"]
    assert ("http", "OPTIONS", "") == (scope["scheme"], scope["method"], scope["root_path"])
    assert client == scope["client"]
    assert listener.address == scope["server"]
