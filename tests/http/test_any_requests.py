"""Any valid requests, their bytes cut anywhere: the application is given them, and they are answered in their turn."""

import asyncio
from itertools import pairwise
from typing import Final, NamedTuple
from urllib.parse import unquote

import h11
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from tests.http.applications import answer, body_of, piece, start
from tests.support.wire import TIMEOUT_S, calling, serving

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")
TOKEN: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"
TARGET: Final = "abcXYZ019-._~!$&'()*+,;=:@/"
STYLES: Final = ("length", "pieces", "early", "nothing", "unchanged", "empty pieces")


class Request(NamedTuple):
    """A request, and how it is written."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    piece: bytes
    """What its body is made of."""
    times: int
    """How many times it is in there."""
    chunks: tuple[int, ...] | None
    """The lengths of the pieces of its body, one after another and again; None: its length is told."""
    blanks: str
    """What stands around each value of a header."""
    style: str
    """How it is to be answered."""

    @property
    def body(self) -> bytes:
        """All of its body."""
        return self.piece * self.times

    def written(self) -> bytes:
        """Write it as it goes over the wire."""
        target = self.path + (f"?{self.query}" if self.query else "")
        lines = [
            f"{self.method} {target} HTTP/1.1",
            *[f"{name}:{self.blanks}{value}{self.blanks}" for name, value in self.sent()],
        ]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        if self.chunks is None:
            return head + self.body
        written, at, turn = head, 0, 0
        while at < len(self.body):
            part = self.body[at : at + self.chunks[turn % len(self.chunks)]]
            written += b"%X%b\r\n%b\r\n" % (len(part), b";a=1" if turn % 2 else b"", part)
            at, turn = at + len(part), turn + 1
        return written + b"0\r\n" + (b"X-Behind: 1\r\n" if turn % 2 else b"") + b"\r\n"

    def sent(self) -> list[tuple[str, str]]:
        """List all headers."""
        how = [("Transfer-Encoding", "chunked")] if self.chunks else [("Content-Length", str(len(self.body)))]
        if self.chunks is None and not self.body:
            how = []
        return [("Host", "x"), *self.headers, *how, ("X-Style", self.style)]

    def given(self) -> tuple[str, str, bytes, bytes, list[tuple[bytes, bytes]], bytes]:
        """Return what the application is to be given."""
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in self.sent()]
        return self.method, unquote(self.path), self.path.encode(), self.query.encode(), headers, self.body

    def answered(self) -> tuple[int, bytes]:
        """Return what the client is to be told: status and body."""
        status = {"nothing": 204, "unchanged": 304}.get(self.style, 200)
        body = b"" if self.method == "HEAD" or status != 200 else b"%d:" % len(self.body) + self.body
        return status, body


class Recorder:
    """Keeps what it is given, and answers in the ways that there are."""

    def __init__(self) -> None:
        self.given: list[tuple[str, str, bytes, bytes, list[tuple[bytes, bytes]], bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        style = headers[b"x-style"].decode()
        if style == "nothing":
            await send(start(status=204))
            await send(piece(b"", is_last=True))
        body = await body_of(receive)
        known = (scope["method"], scope["path"], scope["raw_path"], scope["query_string"])
        self.given.append((*known, scope["headers"], body))
        told = b"%d:" % len(body) + body
        if style == "length":
            await answer(send, told)
        elif style == "unchanged":
            await send(start((b"content-length", b"7"), status=304))
            await send(piece(b"", is_last=True))
        elif style == "early":
            # The end of what is sent, and of what runs, are two things.
            await answer(send, told)
            await asyncio.sleep(0)
        elif style != "nothing":
            await send(start((b"x-pieces", b"1")))
            for at in range(0, len(told), 3):
                await send(piece(told[at : at + 3]))
                if style == "empty pieces":
                    await send(piece(b""))
                    await asyncio.sleep(0)
            await send(piece(b"", is_last=True))


names = (
    st.text(TOKEN, min_size=1, max_size=12).map(lambda text: f"X-{text}").filter(lambda text: text.lower() != "x-style")
)
values = st.text([*map(chr, range(33, 127)), *map(chr, range(160, 256)), " ", "\t"], max_size=20).map(
    lambda text: text.strip(" \t")
)
parts = st.sampled_from([*TARGET, "%20", "%2F", "%c3%a9", "%25", "%ff", "%zz"])
requests = st.builds(
    Request,
    method=st.sampled_from(METHODS),
    path=st.lists(parts, max_size=12).map(lambda each: "/" + "".join(each)),
    query=st.lists(st.one_of(parts, st.just("?")), max_size=8).map("".join),
    headers=st.lists(st.tuples(names, values), max_size=5).map(tuple),
    piece=st.binary(max_size=40),
    times=st.sampled_from([0, 1, 2, 200, 5_000]),
    chunks=st.one_of(st.none(), st.lists(st.integers(1, 60_000), min_size=1, max_size=3).map(tuple)),
    blanks=st.sampled_from(["", " ", "  "]),
    style=st.sampled_from(STYLES),
)


def _answers(received: bytes, methods: list[str]) -> list[tuple[int, bytes]]:
    """Parse answers as a client does."""
    parser = h11.Connection(h11.CLIENT)
    parser.receive_data(received)
    answers = []
    for method in methods:
        parser.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        parser.send(h11.EndOfMessage())
        response = parser.next_event()
        assert isinstance(response, h11.Response)
        body = b""
        while isinstance(event := parser.next_event(), h11.Data):
            body += bytes(event.data)
        assert isinstance(event, h11.EndOfMessage)
        parser.start_next_cycle()
        answers.append((response.status_code, body))
    assert (b"", False) == parser.trailing_data
    return answers


@settings(max_examples=40)
@given(
    asked=st.lists(requests, min_size=1, max_size=6),
    cuts=st.lists(st.floats(0, 1, exclude_max=True), max_size=12),
    pause=st.sampled_from([0, 1, 5]),
)
@example(
    asked=[
        Request("GET", "/", "", (), b"", 0, None, " ", "length"),
        # Its head and a part of its body are parsed with what comes before, and the rest when it has its turn.
        Request("POST", "/", "", (), b"0123456789", 1_000, None, " ", "length"),
    ],
    cuts=[],
    pause=0,
)
@example(
    asked=[Request("GET", f"/{number}", "", (), b"", 0, None, " ", "length") for number in range(300)], cuts=[], pause=0
)
async def test_every_request_is_given_to_the_application_and_answered_in_its_turn(
    asked: list[Request], cuts: list[float], pause: int
) -> None:
    sent = b"".join(request.written() for request in asked)
    edges = sorted({0, len(sent), *(int(cut * len(sent)) for cut in cuts)})
    recorder = Recorder()
    async with serving(recorder) as listener, calling(listener) as caller, asyncio.timeout(TIMEOUT_S):
        receiving = asyncio.create_task(caller.rest())
        for begin, end in pairwise(edges):
            await caller.send(sent[begin:end])
            await asyncio.sleep(0 if pause == 0 else 0.0005 * pause)
        caller.end_sending()
        received = await receiving
    assert [request.given() for request in asked] == recorder.given
    assert [request.answered() for request in asked] == _answers(received, [request.method for request in asked])


async def test_a_request_is_the_same_cut_at_any_two_places() -> None:
    request = Request("POST", "/a%20b", "c=d", (("X-Empty", ""), ("X-Two", "e f")), b"hello", 1, (2, 3), " ", "length")
    sent = request.written() + request.written()
    step = 11
    for first in range(1, len(sent), step):
        recorder = Recorder()
        async with serving(recorder) as listener:
            for second in range(first + 1, min(first + 40, len(sent)), 9):
                recorder.given.clear()
                async with calling(listener) as caller:
                    await caller.send(sent[:first])
                    await caller.send(sent[first:second])
                    await caller.send(sent[second:])
                    answers = [await caller.answer("POST") for _ in range(2)]
                assert [request.given()] * 2 == recorder.given, (first, second)
                assert [request.answered()] * 2 == [(each.status, each.body) for each in answers], (first, second)
