"""The log: one line per event, as text or JSON, with the request's id, and without any secret."""

import io
import json
import logging
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.bootstrap import Farebox
from farebox.config import Settings
from farebox.observe import FIELDS, REQUEST_ID, JsonFormatter, TextFormatter
from farebox.web.client_address import Addresses
from farebox.web.watch import RequestWatch
from tests.support.app_client import AppClient, open_client
from tests.support.effort import examples
from tests.support.server import open_farebox

SECRETS: Final = Settings.of(
    database_url="postgresql://farebox:Hush-of-the-database@db.example/farebox",
    smtp_url="smtp://farebox:Hush-of-the-mails@mail.example:587",
    secret_key="a3f09c5e71d2b8463a1f0e9d7c5b2846",
    gate_secret="9d7c5b2846a3f09c5e71d2b8463a1f0e",
    metrics_token="5b2846a3f09c9d7c71d2b8463a1f0e0e 0c5b9d7e846a3f09c71d2b8461f0e3ae",
).secrets
_ALPHABET: Final = string.ascii_lowercase + string.ascii_uppercase + string.digits
_WORDS: Final = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)
_TOKENS: Final = st.text(_ALPHABET, min_size=20, max_size=60).filter(lambda text: len(set(text)) > 8)


def _record(message: str, *arguments: object, error: Exception | None = None, **fields: object) -> logging.LogRecord:
    trace = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("farebox.test", logging.WARNING, "test.py", 1, message, arguments, trace)
    setattr(record, FIELDS, fields)
    return record


def _written(secret_in: str) -> Iterator[str]:
    """Write a text as a message, an argument, a field and an error, in both formats."""
    for formatter in (TextFormatter(SECRETS), JsonFormatter(SECRETS)):
        yield formatter.format(_record("%s", secret_in))
        yield formatter.format(_record("it failed", error=ValueError(secret_in)))
    yield JsonFormatter(SECRETS).format(_record("done", detail=secret_in))


@examples(60)
@given(before=_WORDS, after=_WORDS, secret=st.sampled_from(SECRETS))
def test_no_secret_of_the_settings_is_written_wherever_it_stands(before: str, after: str, secret: str) -> None:
    for line in _written(f"{before}{secret}{after}"):
        assert secret not in line


@examples(60)
@given(
    token=_TOKENS,
    shape=st.sampled_from(
        [
            "Authorization: Bearer {}",
            "authorization: Basic {}",
            "{{'authorization': 'Bearer {}'}}",
            "cookie: farebox={}",
            "Set-Cookie: __Host-farebox={}",
            "x-api-key: {}",
            '{{"password": "{}"}}',
            "password={}&next=/",
            "GET /reset?token={}",
            "postgresql://farebox:{}@db.example/x",
            "smtp://u:{}@mail.example",
            "Bearer {} was refused",
        ]
    ),
)
def test_what_stands_where_secrets_stand_is_masked(token: str, shape: str) -> None:
    for line in _written(shape.format(token)):
        assert token not in line


@examples(60)
@given(kind=st.sampled_from("msu"), text=st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=20, max_size=40))
def test_no_api_key_is_written(kind: str, text: str) -> None:
    for line in _written(f"key fb{kind}_{text} is unknown"):
        assert text not in line


@examples(60)
@given(text=_WORDS, request_id=st.text(_ALPHABET, min_size=1, max_size=20))
def test_a_line_of_json_is_one_line_that_says_what_text_says(text: str, request_id: str) -> None:
    token = REQUEST_ID.set(request_id)
    try:
        line = JsonFormatter(()).format(_record("%s", text, route="/api/charges", status=200))
        words = TextFormatter(()).format(_record("%s", text))
    finally:
        REQUEST_ID.reset(token)
    assert not re.search(r"[\r\n]", line)
    told = json.loads(line)
    assert ("warning", "farebox.test", request_id) == (told["level"], told["logger"], told["requestId"])
    assert ("/api/charges", 200) == (told["route"], told["status"])
    assert not re.search(r"[\r\n]", words)
    assert words.endswith(f"[{request_id}]")


async def _client(farebox: Farebox, trusted: str, lines: list[str]) -> AppClient:
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(JsonFormatter(()))
    handler.emit = lambda record: lines.append(handler.format(record))  # type: ignore[method-assign]
    access = logging.getLogger("farebox.access")
    access.handlers[:] = [handler]
    access.setLevel(logging.INFO)
    addresses = Addresses(Settings.of(trusted_proxies=trusted).trusted_proxies)
    return await open_client(farebox, watch=RequestWatch(addresses, is_logged=True))


@pytest.mark.parametrize(
    ("trusted", "brought", "is_taken"),
    [
        ("0.0.0.0/0", "trace-1:a.b_c", True),
        ("0.0.0.0/0", "x" * 65, False),
        ("0.0.0.0/0", "a b", False),
        ("0.0.0.0/0", "", False),
        ("10.0.0.0/8", "trace-1", False),
        ("", "trace-1", False),
    ],
)
async def test_an_id_is_a_trusted_proxys_or_made_here_and_stands_in_answer_and_log(
    tmp_path: Path, trusted: str, brought: str, is_taken: bool
) -> None:
    lines: list[str] = []
    async with open_farebox(f"sqlite:///{tmp_path / 'farebox.db'}") as farebox:
        client = await _client(farebox, trusted, lines)
        lines.clear()
        for target in ("/api/balance", "/healthz", "/api/transfers/xfer_1?token=hush", "/nowhere"):
            reply = await client.get(target, headers=[("x-request-id", brought)])
            assert (reply.request_id == brought) is is_taken
            assert re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", reply.request_id)
            assert reply.request_id == json.loads(lines[-1])["requestId"]
    told = [json.loads(line) for line in lines]
    assert ["/api/balance", "/healthz"] == [line["route"] for line in told[:2]]
    assert ["invalid_api_key", "ok"] == [line["outcome"] for line in told[:2]]
    assert [401, 200] == [line["status"] for line in told[:2]]
    assert "xfer_1" not in str(told)
    assert "hush" not in str(told)
    assert all(line["durationMs"] >= 0 for line in told)
