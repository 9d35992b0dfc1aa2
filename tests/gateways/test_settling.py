"""What each proxy logs of requests that went well, failed, or whose client left is settled as it is to be."""

import http.client
import time
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from tests.gateways.asking import ask
from tests.gateways.conftest import PRICE, Stand
from tests.gateways.settling import Settler
from tests.support import plain_http
from tests.support.server import Seeds, Server

SETTLED_S: Final = 20


def _posted(stand: Stand) -> Decimal:
    """Read what the merchant has, held money included: a hold that nobody settles takes nothing."""
    headers = {"x-api-key": stand.merchant.key}
    answer = plain_http.get(f"{stand.merchant.url}/api/account", headers=headers)
    return Decimal(answer.json()["data"]["posted"])


def _leave(port: int, target: str, key: str, task: str, *, reads_first: bool) -> None:
    """Ask for something, and hang up before it is answered, or once the first part of the answer is here."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", target, headers={"x-api-key": key, "x-do": task})
    if reads_first:
        assert connection.getresponse().read(8)
    else:
        time.sleep(0.5)
    connection.close()


@pytest.mark.parametrize("target", ["/v1/search", "/v1/held"])
def test_what_was_delivered_is_paid_and_what_failed_is_not(
    stand: Stand, gated: tuple[Server, tuple[Seeds, Seeds, Seeds]], tmp_path: Path, target: str
) -> None:
    settler = Settler(stand.farebox.url, gated[1][0].service_key, stand.gateway.access_log, tmp_path / "settle.db")
    # What other tests left in the log.
    settler.finish()
    before = _posted(stand)
    key = stand.merchant.key
    assert ask(stand.port, target, key=key).status == 200
    assert ask(stand.port, target, key=key, headers={"x-do": "fail=404"}).status == 404
    assert ask(stand.port, target, key=key, headers={"x-do": "fail=500"}).status == 500
    assert ask(stand.port, target, key=key, headers={"x-do": "fail=503"}).status == 503
    _leave(stand.port, target, key, "stream", reads_first=True)
    _leave(stand.port, target, key, "slow=1.5", reads_first=False)
    deadline = time.monotonic() + SETTLED_S
    while _posted(stand) != before - 4 * PRICE:
        assert time.monotonic() < deadline, stand.gateway.access_log.read_text()
        time.sleep(0.5)
        settler.finish()
    told = settler.finish()
    assert "rejected 0, refused 0" in told
