"""What a line of a log comes to in the ledger, and what does not change it."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farebox.service.gate.tokens import GateSigner, GateToken, Mode
from tests.settle.site import SIGNER, Site, failed, nginx, open_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(autouse=True)
def _empty(site: Site) -> None:
    """Begin without a log and without a settler's file."""
    for path in site.folder.glob("*.log*"):
        path.unlink()
    for path in site.folder.glob("settle*"):
        path.unlink()


def test_a_request_that_was_served_is_paid_and_one_that_failed_is_not(site: Site) -> None:
    site.write(nginx(site.ask(Mode.HOLD)), failed(site.ask(Mode.HOLD)))
    site.write(nginx(site.ask(Mode.CHARGE)), failed(site.ask(Mode.CHARGE)))
    counts = site.settle()
    assert (1, 1, 1, 1, 4) == tuple(counts[name] for name in ("captured", "released", "refunded", "kept", "applied"))
    assert site.model() == site.ledger()


def test_a_line_that_is_read_again_by_another_settler_changes_nothing(site: Site, tmp_path: Path) -> None:
    site.write(nginx(site.ask(Mode.HOLD)), failed(site.ask(Mode.HOLD)), failed(site.ask(Mode.CHARGE)))
    site.settle()
    counts = site.settle(state=tmp_path / "another.db")
    assert (3, 3) == (counts["applied"], counts["repeated"])
    assert site.model() == site.ledger()


def test_what_was_applied_is_not_read_again(site: Site) -> None:
    site.write(nginx(site.ask()), nginx(site.ask()))
    assert 2 == site.settle()["applied"]
    site.write(nginx(site.ask()))
    assert 1 == site.settle()["applied"]
    assert site.model() == site.ledger()


def test_a_line_of_a_request_that_says_otherwise_than_its_first_one_changes_nothing(site: Site) -> None:
    served, broken, kept = site.ask(), site.ask(), site.ask(Mode.CHARGE)
    site.write(nginx(served), failed(broken), failed(kept))
    site.settle()
    site.write(failed(served), nginx(broken), nginx(kept))
    assert 2 == site.settle()["repeated"]
    assert site.model() == site.ledger()


def test_a_request_without_a_token_is_nobodys(site: Site) -> None:
    site.write(nginx("-"), nginx(""), nginx(site.ask()))
    counts = site.settle()
    assert (2, 1, 0) == (counts["withoutToken"], counts["applied"], counts["rejected"])


def test_what_nobody_signed_is_rejected_and_moves_nothing(site: Site) -> None:
    asked = site.ask()
    token = GateToken(Mode.HOLD, site.seeds.merchant, asked.subject, int(time.time()), "image", 1, None, None)
    old = GateToken(Mode.HOLD, site.seeds.merchant, asked.subject, 1_700_000_000, "image", 1, None, None)
    forged = [
        asked.subject,
        GateSigner("another secret of somebody else").token(token),
        asked.token[:-1] + ("A" if asked.token[-1] != "A" else "B"),
        asked.token.replace("g1.", "g2."),
        SIGNER.token(old),
        "g1..",
        "g1.\u00e9.x",
    ]
    before = site.ledger()
    site.write(*(nginx(text) for text in forged))
    counts = site.settle()
    assert (len(forged), 0) == (counts["rejected"], counts["applied"])
    assert before == site.ledger()
    assert [1, 2, 3, 4, 5, 6, 7] == [reject["line"] for reject in site.rejects]
    assert {"access.log"} == {reject["file"] for reject in site.rejects}
    site.write(nginx(asked))
    site.settle()
    assert site.model() == site.ledger()


def test_what_cannot_be_read_is_rejected_with_its_place_and_stops_nothing(site: Site) -> None:
    good = [site.ask() for _ in range(3)]
    log: list[str | bytes] = [
        nginx(good[0]),
        "",
        "GET / HTTP/1.1",
        b"\xff\xfe\x00\x01",
        "[1,2]",
        "null",
        '{"proxy":"nginx"}',
        '{"proxy":"squid","gate_token":"g1.a.b"}',
        nginx(good[1]),
        b"x" * (3 * 1024 * 1024),
        b'{"proxy":"nginx","gate_token":"' + b"y" * (1024 * 1024) + b'"}',
        json.dumps({**json.loads(nginx(site.ask())), "status": {}}),
        json.dumps({**json.loads(nginx(site.ask())), "upstream_status": ["200"]}),
        "[" * 100_000,
        b"\0" * 3_000_000 + nginx(good[2]).encode(),
    ]
    for asked in site.asked[-2:]:
        asked.is_paid = None
    site.write(*log)
    counts = site.settle()
    assert (3, 10, 1) == (counts["captured"], counts["rejected"], counts["withoutToken"])
    assert [3, 4, 5, 6, 8, 10, 11, 12, 13, 14] == [reject["line"] for reject in site.rejects]
    assert site.model() == site.ledger()
    assert 0 == site.settle()["rejected"]


def test_a_line_that_is_not_whole_waits_for_its_rest(site: Site) -> None:
    first, second = nginx(site.ask()), nginx(site.ask())
    site.write(first)
    with site.log.open("a") as log:
        log.write(second[:40])
    assert 1 == site.settle()["applied"]
    with site.log.open("a") as log:
        log.write(second[40:])
    assert 0 == site.settle()["applied"]
    site.write("")
    assert 1 == site.settle()["applied"]
    assert site.model() == site.ledger()


def test_a_hold_that_expired_is_charged_late_once(site: Site, tmp_path: Path) -> None:
    asked = site.ask(ttl=1)
    site.write(nginx(asked), failed(site.ask(ttl=1)))
    time.sleep(2.5)
    counts = site.settle()
    assert (1, 0, 0) == (counts["late"], counts["captured"], counts["refused"])
    assert site.model() == site.ledger()
    assert 2 == site.settle(state=tmp_path / "another.db")["repeated"]
    assert site.model() == site.ledger()


def test_a_hold_of_the_day_before_yesterday_is_charged_late(site: Site) -> None:
    site.write(nginx(site.ask(ttl=1, issued_ago=2 * 86_400)))
    time.sleep(2.5)
    assert 1 == site.settle()["late"]
    assert site.model() == site.ledger()


def test_a_client_that_left_pays_unless_the_operator_lets_it_off(site: Site) -> None:
    site.write(nginx(site.ask(Mode.HOLD), 499, upstream="-"), nginx(site.ask(Mode.CHARGE), 499, upstream="-"))
    site.write(nginx(site.ask(Mode.HOLD), 499, upstream="-", sent="0"))
    counts = site.settle()
    assert (1, 1, 1) == (counts["captured"], counts["kept"], counts["released"])
    assert site.model() == site.ledger()
    lines = [nginx(asked := site.ask(mode), 499, upstream="-") for mode in Mode]
    for asked in site.asked[-2:]:
        asked.is_paid = False
    site.write(*lines)
    counts = site.settle(FAREBOX_SETTLE_CLIENT_LEFT="free")
    assert (1, 1) == (counts["released"], counts["refunded"])
    assert site.model() == site.ledger()


def test_a_refund_names_the_request_and_what_was_given_back_by_hand_is_not_given_twice(site: Site) -> None:
    by_hand = site.ask(Mode.CHARGE)
    site.post("/api/refunds", {"transferId": by_hand.subject, "idempotencyKey": "by-hand"})
    line = failed(site.ask(Mode.CHARGE))
    site.write(line, failed(by_hand))
    counts = site.settle()
    assert (1, 1) == (counts["refunded"], counts["repeated"])
    (refund,) = site.read(f"/api/transfers?reference={json.loads(line)['request_id']}")["transfers"]
    assert ("refund", site.asked[-1].subject) == (refund["kind"], refund["refersTo"])
    assert site.model() == site.ledger()


def test_standard_input_is_read_to_its_end(site: Site) -> None:
    lines = [nginx(site.ask()), "nonsense", failed(site.ask())]
    counts = site.settle("-", text="\n".join(lines).encode())
    assert (1, 1, 1) == (counts["captured"], counts["released"], counts["rejected"])
    assert ["standard input"] == [reject["file"] for reject in site.rejects]
    assert site.model() == site.ledger()


@pytest.mark.parametrize(
    ("given", "status", "code", "words"),
    [
        ({"FAREBOX_API_KEY": ""}, 2, "invalid_value", "farebox key create --service"),
        ({"FAREBOX_GATE_SECRET": ""}, 2, "invalid_value", "FAREBOX_GATE_SECRET"),
        ({"FAREBOX_API_KEY": "fbk_nobody"}, 1, "stopped", "FAREBOX_API_KEY"),
        ({"FAREBOX_URL": "ftp://nowhere"}, 2, "invalid_value", "--url"),
        ({"FAREBOX_SETTLE_STAT": "x"}, 2, "invalid_settings", "FAREBOX_SETTLE_STAT"),
        ({"FAREBOX_SETTLE_PROXY": "squid"}, 2, "", ""),
    ],
)
def test_what_is_given_wrongly_is_told(site: Site, given: dict[str, str], status: int, code: str, words: str) -> None:
    site.write("")
    command = [*site.command(), "--json"]
    if "FAREBOX_URL" in given:
        command = [part for part in command if part not in ("--url", site.server.url)]
    done = subprocess.run(
        command, capture_output=True, cwd=site.folder, env=site.environment(**given), timeout=60, check=False
    )
    assert status == done.returncode, done.stderr.decode()
    if code:
        error: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
        assert (code, True) == (error["error"], words in error["message"])


def test_a_key_that_is_no_services_is_told(site: Site) -> None:
    site.write(nginx(site.ask()))
    for key in (site.seeds.merchant_key, site.seeds.support_key):
        assert "stopped" == site.settle(status=1, FAREBOX_API_KEY=key)["error"]
    assert 1 == site.settle()["captured"]


def test_a_log_that_is_not_there_is_told(site: Site) -> None:
    assert "log_not_found" == site.settle("nowhere.log", status=1)["error"]


def test_one_settler_has_its_file_at_a_time(site: Site) -> None:
    site.write(nginx(site.ask()))
    with site.following():
        site.wait_until_settled()
        assert "state_unusable" == site.settle(status=1)["error"]


def test_a_line_that_the_ledger_refuses_stands_among_the_rejects(site: Site) -> None:
    gone = GateToken(
        Mode.CHARGE, site.seeds.merchant, "xfer_38H81XV3CQWSD00000005", int(time.time()), "image", 1, None, None
    )
    site.write(nginx(SIGNER.token(gone), 502), nginx(site.ask()))
    counts = site.settle()
    assert (1, 1) == (counts["refused"], counts["captured"])
    (reject,) = site.rejects
    assert "transfer_not_found" in reject["reason"]
    assert site.model() == site.ledger()


def test_a_server_that_is_away_is_waited_for(site: Site) -> None:
    site.write(*(nginx(site.ask()) for _ in range(20)), *(failed(site.ask(Mode.CHARGE)) for _ in range(20)))
    site.server.kill()
    with site.following():
        time.sleep(2)
        site.server.start()
        site.wait_until_settled()


def test_a_settler_that_reads_once_gives_up_at_last(site: Site) -> None:
    site.write(nginx(site.ask()))
    site.server.kill()
    error = site.settle(site.log, "--give-up-after", "1", status=1)
    site.server.start()
    assert "could not be asked" in error["message"]
    assert 1 == site.settle()["captured"]
