"""Webhooks and chats by support's API: their whole life, what they have missed, and whose may be changed by whom."""

import json
from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core.alerts import EVENT_TYPES, AlertKind
from tests.support.app_client import AppClient, Reply
from tests.support.destinations import NOWHERE
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOP_UP: Final = EVENT_TYPES[AlertKind.TOP_UP]
TOKEN: Final = "TIiajkdnlazkcOXrIdevi7FQ"
SLACK: Final = f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}/#general"
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
UNKNOWN: Final = "/api/admin/destinations/dest_7ZZZZZZZZZZZZ"


async def _add(client: AppClient, seeds: Seeds, **fields: object) -> Reply:
    content = {"channel": "webhook", "url": NOWHERE, "types": [TOP_UP], **fields}
    return await client.post(f"/api/admin/merchants/{seeds.merchant}/destinations", seeds.support_key, content)


async def _list(client: AppClient, seeds: Seeds) -> list[Any]:
    listed = await client.get(f"/api/admin/merchants/{seeds.merchant}/destinations", seeds.support_key)
    destinations: list[Any] = listed.data["destinations"]
    return destinations


async def _send(client: AppClient, seeds: Seeds, method: str, path: str, content: object = None) -> Reply:
    body = b"" if content is None else json.dumps(content).encode()
    headers = [] if content is None else [("content-type", "application/json")]
    return await client.send(method, path, key=seeds.support_key, headers=headers, body=body)


async def test_a_webhook_is_added_read_changed_and_deleted(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    made = (await _add(client, seeds, name="orders")).data
    one = f"/api/admin/destinations/{made['destinationId']}"
    assert made["secret"].startswith("whsec_")
    shown = {name: value for name, value in made.items() if name != "secret"}
    assert shown == (await client.get(one, seeds.support_key)).data
    assert [shown] == await _list(client, seeds)
    assert ("orders", seeds.merchant, "on", [TOP_UP]) == tuple(
        shown[name] for name in ("name", "merchantId", "state", "types")
    )
    rotated = await _send(client, seeds, "POST", f"{one}/secret", {"secret": SECRET, "overlapSeconds": 3600})
    assert SECRET == rotated.data["secret"]
    assert rotated.data["secretBeforeUntil"] is not None
    changed = await _send(client, seeds, "PATCH", one, {"name": "books", "url": f"{NOWHERE}/new", "isOn": False})
    assert ("books", f"{NOWHERE}/new", "off") == tuple(changed.data[name] for name in ("name", "url", "state"))
    tested = await _send(client, seeds, "POST", f"{one}/test")
    assert (200, False, None) == (tested.status, tested.data["isDelivered"], tested.data["status"])
    assert 200 == (await _send(client, seeds, "DELETE", one)).status
    assert [] == await _list(client, seeds)
    assert 404 == (await client.get(one, seeds.support_key)).status


async def test_what_it_was_sent_is_listed_and_sent_once_more(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    one = f"/api/admin/destinations/{(await _add(client, seeds)).data['destinationId']}"
    paid = {"amount": "20", "reference": "R-9"}
    assert 200 == (await client.post(f"/api/admin/merchants/{seeds.merchant}/topups", seeds.support_key, paid)).status
    (sent,) = (await client.get(f"{one}/events", seeds.support_key)).data["sent"]
    assert (TOP_UP, "waiting") == (sent["type"], sent["state"])
    attempts = await client.get(f"{one}/attempts?event={sent['eventId']}", seeds.support_key)
    assert [] == attempts.data["attempts"]
    assert 1 == (await _send(client, seeds, "POST", f"{one}/replay", {"eventId": sent["eventId"]})).data["events"]
    for content, word in (
        ({"eventId": sent["eventId"], "since": "2026-01-01T00:00:00Z"}, "eventId"),
        ({"since": "2026-01-01T00:00:00Z"}, "until"),
        ({"eventId": "alert_7"}, "eventId"),
    ):
        refused = await _send(client, seeds, "POST", f"{one}/replay", content)
        assert (422, True) == (refused.status, word in refused.message), content


async def test_a_chats_url_is_not_shown_again(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    made = await _add(client, seeds, channel="chat", url=SLACK)
    assert (200, None) == (made.status, made.data["secret"])
    assert TOKEN not in json.dumps(await _list(client, seeds))
    refused = await _send(client, seeds, "POST", f"/api/admin/destinations/{made.data['destinationId']}/secret", {})
    assert (409, "conflict") == (refused.status, refused.code)


async def test_bad_input_is_refused_by_its_field(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    for fields, field in (
        ({"url": "http://shop.example"}, "url"),
        ({"url": "https://[::1"}, "url"),
        ({"types": []}, "types"),
        ({"types": ["balance.unheard"]}, "types"),
        ({"secret": "whsec_short"}, "secret"),
        ({"channel": "pigeon"}, "channel"),
        ({"channel": "chat", "url": "https://shop.example"}, "url"),
    ):
        refused = await _add(client, seeds, **fields)
        assert (422, True) == (refused.status, refused.message.startswith(field)), (fields, refused.message)
    assert [] == await _list(client, seeds)
    for method, path, content in (("GET", "", None), ("PATCH", "", {}), ("DELETE", "", None), ("POST", "/test", None)):
        assert 404 == (await _send(client, seeds, method, UNKNOWN + path, content)).status, (method, path)


async def test_who_may_only_look_changes_none(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    made = (await _add(client, seeds)).data
    one = f"/api/admin/destinations/{made['destinationId']}"
    content = {"kind": "support", "name": "a viewer", "roles": ["viewer"]}
    key = (await client.post("/api/admin/keys", seeds.support_key, content)).data["apiKey"]
    assert 200 == (await client.get(one, key)).status
    for method, path in (("PATCH", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/secret"), ("POST", "/replay")):
        body = b"" if method == "DELETE" or path == "/test" else b"{}"
        headers = [("content-type", "application/json")] if body else []
        assert 403 == (await client.send(method, one + path, key=key, headers=headers, body=body)).status, path
