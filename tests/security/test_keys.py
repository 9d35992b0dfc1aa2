"""API keys: enough randomness, kept as digests alone, and nothing that tells one bad key from another."""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final, get_type_hints

import apsw
import pytest

from farebox.bootstrap import Farebox
from farebox.core.commands import KeyKind
from farebox.service.people import api_keys
from farebox.storage.stores import Stores
from tests.support.app_client import AppClient
from tests.support.server import Seeds

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET_CHARS: Final = 26
STORE_METHODS: Final = {
    name for kind in get_type_hints(Stores).values() for name in vars(kind) if not name.startswith("_")
}


@pytest.mark.parametrize(
    ("kind", "merchant_id"), [(KeyKind.MERCHANT, 7), (KeyKind.SERVICE, None), (KeyKind.SUPPORT, None)]
)
async def test_a_key_has_128_bits_that_nobody_can_guess(kind: KeyKind, merchant_id: int | None) -> None:
    secrets = [api_keys.make_key(kind, merchant_id)[-SECRET_CHARS:] for _ in range(2_000)]
    seen = [{secret[place] for secret in secrets} for place in range(SECRET_CHARS)]
    # Of 32 characters that are equally likely, one is missed in 2,000 draws once in 10^26 times.
    assert {32} == {len(chars) for chars in seen}
    assert sum(math.log2(len(chars)) for chars in seen) >= 128


async def test_the_database_holds_digests_alone(
    farebox: Farebox, client: AppClient, seeds: Seeds, folder: Path
) -> None:
    root = f"/api/admin/merchants/{seeds.merchant}/keys"
    made = (await client.post(root, seeds.support_key, {})).data
    rotated = (await client.post(f"/api/admin/keys/{made['key']['keyId']}/rotate", seeds.support_key, {})).data
    texts = [seeds.merchant_key, seeds.service_key, seeds.support_key, made["apiKey"], rotated["apiKey"]]
    for text in (made["apiKey"], rotated["apiKey"], seeds.merchant_key):
        await client.get("/api/balance", text)
    await client.post(
        "/api/charges", seeds.service_key, {"merchant": made["apiKey"], "type": "image", "idempotencyKey": "1"}
    )
    stored = b"".join(path.read_bytes() for path in folder.iterdir())
    for text in texts:
        assert api_keys.digest(text) in stored
        # The last four characters are shown in lists, so that people can tell keys apart.
        for secret in (text, text[-SECRET_CHARS:], text[-SECRET_CHARS:-4]):
            assert secret.encode() not in stored
            assert secret.lower().encode() not in stored


@contextmanager
def _store_calls(texts: list[str]) -> Iterator[list[str]]:
    """List which of the store's methods are called meanwhile; none of them may get a key's text."""
    calls: list[str] = []

    def profile(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_name in STORE_METHODS and "/farebox/storage/" in code.co_filename:
            arguments = repr([frame.f_locals[name] for name in code.co_varnames[1 : code.co_argcount]])
            for text in texts:
                assert text not in arguments, code.co_qualname
            calls.append(code.co_name)

    sys.setprofile(profile)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def _expire(folder: Path, key_id: int) -> None:
    """Let a key have ended as soon as it was made, which takes no waiting."""
    connection = apsw.Connection(str(folder / "farebox.db"))
    for table in ("merchant_key", "staff_key"):
        connection.execute(f"UPDATE {table} SET expires_at = created_at + 1 WHERE key_id = ?", (key_id,))
    assert 1 == connection.total_changes()
    connection.close()


@pytest.mark.parametrize(
    ("kind", "path", "body"),
    [
        (KeyKind.MERCHANT, "/api/balance", None),
        (KeyKind.MERCHANT, "/api/account", None),
        (KeyKind.SERVICE, "/api/charges", {"type": "image", "idempotencyKey": "never"}),
        (KeyKind.SUPPORT, "/api/admin/keys", {"kind": "service", "name": "never"}),
    ],
)
async def test_every_bad_key_that_could_be_one_goes_the_same_way(
    farebox: Farebox,
    client: AppClient,
    seeds: Seeds,
    folder: Path,
    kind: KeyKind,
    path: str,
    body: dict[str, Any] | None,
) -> None:
    """One question to the database, by digest, whose answer is all there is to know; nothing compares characters.

    How long the search of an index for a digest takes tells nothing of the key, since nobody can choose digests.
    """
    merchants = farebox.services.merchants
    merchant_id = seeds.merchant_id if kind is KeyKind.MERCHANT else None
    made = [await merchants.create_key(kind, merchant_id=merchant_id, name="x") for _ in range(2)]
    _expire(folder, made[0].key.key_id)
    await merchants.revoke_key(made[1].key.key_id)
    good = await merchants.create_key(kind, merchant_id=merchant_id, name="x")
    expired, revoked = (item.text for item in made)
    other = "0" if good.text[-1] != "0" else "1"
    almost = good.text[:-1] + other
    nothing_like = good.text[:-SECRET_CHARS] + "0" * SECRET_CHARS
    if body is not None and kind is KeyKind.SERVICE:
        body = {**body, "merchant": seeds.merchant}
    ways, answers = set(), set()
    for key in (expired, revoked, almost, nothing_like):
        with _store_calls([key]) as calls:
            reply = await (client.get(path, key) if body is None else client.post(path, key, body))
        ways.add(tuple(calls))
        answers.add((reply.status, reply.code, reply.body, tuple(reply.headers)))
    assert 1 == len(answers)
    assert (401, "invalid_api_key") == next(iter(answers))[:2]
    assert 1 == len(ways), ways
    (way,) = ways
    assert way
