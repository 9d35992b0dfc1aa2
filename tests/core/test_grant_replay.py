"""A replay derives what every transfer says of grants, and finds what was changed, left out or posted too early."""

from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.core.accounts import EFFECTS, Account, Kind
from farebox.core.book import Book
from farebox.core.chain import canonical_bytes, link
from farebox.core.credit.grants import Grant, GrantState
from farebox.core.replaying.books import Replay
from farebox.core.transfers import Transfer
from tests.support.ledger import ANN, NOW, SECOND, UNIT

FINGERPRINT: Final = b"12345678"
END: Final = NOW + 10 * SECOND


class _Ledger:
    """A book whose transfers are posted as they are told, right or wrong, and the rows beside it."""

    def __init__(self) -> None:
        self._book = Book(Account(ANN, "USD"))
        self.grants: dict[int, Grant] = {}
        self.transfers: list[Transfer] = []
        self.now = NOW

    @property
    def merchant(self) -> str:
        """Whose book it is."""
        return self._book.merchant

    def post(self, kind: Kind, units: int, given: str | None = None, **fields: Any) -> Transfer:
        fields = {"idempotency_key": f"key-{len(self.transfers)}", **fields}
        if kind in (Kind.CHARGE, Kind.HOLD):
            fields = {"request_type": "image", "quantity": units, "unit_price": UNIT, "price_id": 1, **fields}
        transfer = self._book.post(kind, units * UNIT, self.now, fingerprint=FINGERPRINT, given=given, **fields)
        self.transfers.append(transfer)
        return transfer

    def top_up(self, units: int) -> None:
        self.post(Kind.TOP_UP, units, reference="INV")

    def give(self, number: int, units: int, terms: str = "", **row: Any) -> None:
        reference = f"G{number}"
        key = f"grant {reference}"
        given = f"{number}:{units * UNIT}{terms}"
        texts = {"reference": reference, "note": "gift", "idempotency_key": key}
        seq = self.post(Kind.GRANT, units, given, **texts).seq
        self.grants[number] = Grant(
            *(ANN, number, units * UNIT, units * UNIT, reference, "gift", key, FINGERPRINT),
            starts_at=self.now,
            transfer_seq=seq,
            **row,
        )

    def end(self, number: int, units: int, after: int | None = None, **fields: Any) -> None:
        key = f"end of grant {number}" + ("" if after is None else f" after {after}")
        self.post(
            Kind.GRANT_EXPIRY,
            units,
            f"{number}:{units * UNIT}",
            **{"idempotency_key": key, "refers_to": self.grants[number].transfer_seq, **fields},
        )

    def row(self, number: int, **fields: Any) -> None:
        """Change the row of a grant."""
        self.grants[number] = replace(self.grants[number], **fields)

    def ended(self, number: int, at: int = END) -> None:
        self.row(number, left=0, state=GrantState.ENDED, ended_at=at)

    def account(self, **fields: Any) -> Account:
        due = [grant.due_at for grant in self.grants.values() if grant.due_at is not None]
        told = {
            "given": sum(grant.left for grant in self.grants.values()),
            "grants_count": len(self.grants),
            "grants_due_at": min(due, default=None),
            "credit_limit": 100 * UNIT,
        }
        return replace(self._book.account(), **{**told, **fields})

    def faults(self, account: Account | None = None) -> list[str]:
        """Replay the book; what is wrong with holds beside it is not told."""
        replay = Replay(ANN)
        faults = [fault for transfer in self.transfers for fault in replay.feed(transfer)]
        originals = {transfer.seq: transfer for transfer in self.transfers}
        faults += replay.finish(account or self.account(), [], originals, grants=self.grants.values())
        return [fault for fault in faults if "hold" not in fault]


def changed(ledger: _Ledger, seq: int, **fields: Any) -> None:
    """Change a transfer, and make all hashes and balances from there on anew."""
    transfers, hash_, wallet = ledger.transfers, bytes(32), 0
    transfers[seq - 1] = replace(transfers[seq - 1], **fields)
    for index, transfer in enumerate(transfers):
        wallet += EFFECTS[Kind(transfer.kind)].wallet * transfer.amount
        anew = replace(transfer, wallet_after=wallet)
        hash_ = link(hash_, canonical_bytes(ledger.merchant, anew))
        transfers[index] = replace(anew, hash=hash_)


def spent() -> _Ledger:
    """A book that takes of several grants in every way, one of which ends, and all of it is right."""
    ledger = _Ledger()
    ledger.top_up(20)
    ledger.give(1, 5, f";expires={END}", expires_at=END)
    ledger.give(2, 5)
    ledger.give(3, 5, ";types=scan", types="scan")
    ledger.give(4, 5, ";priority=2", priority=2)
    ledger.post(Kind.CHARGE, 7, f"1:{5 * UNIT},2:{2 * UNIT}")
    ledger.post(Kind.HOLD, 25, f"2:{3 * UNIT},4:{2 * UNIT}")
    ledger.post(Kind.REFUND, 3, f"1:{UNIT},2:{2 * UNIT}", refers_to=6, request_type="image")
    ledger.post(Kind.CAPTURE, 4, f"2:{3 * UNIT}", refers_to=7, request_type="image", quantity=1)
    ledger.post(Kind.RELEASE, 21, f"4:{2 * UNIT}", refers_to=7, request_type="image")
    ledger.now = END
    ledger.end(1, 1)
    ledger.post(Kind.CHARGE, 4, f"2:{2 * UNIT},3:{2 * UNIT}", request_type="scan")
    ledger.post(Kind.REFUND, 4, f"1:{4 * UNIT}", refers_to=6, request_type="image")
    ledger.end(1, 4, after=13)
    ledger.ended(1)
    ledger.row(2, left=0)
    ledger.row(3, left=3 * UNIT)
    return ledger


def test_a_book_that_is_right_has_no_faults() -> None:
    assert [] == spent().faults()


TAMPERED: Final[list[tuple[str, int, dict[str, Any], str]]] = [
    ("of another grant", 6, {"given": f"2:{5 * UNIT},1:{2 * UNIT}"}, "seq 6: it names 2:5000000,1:2000000 of grants"),
    ("less than there is", 6, {"given": f"1:{5 * UNIT}"}, "seq 6: it names 1:5000000 of grants, the order of spending"),
    ("of none", 6, {"given": None}, "seq 6: it names nothing of grants, the order of spending comes to 1:5000000,2:2"),
    ("paid money first", 7, {"given": f"2:{3 * UNIT}"}, "seq 7: it names 2:3000000 of grants, the order of spending"),
    ("of a grant for others", 12, {"request_type": "image"}, "seq 12: it names 2:2000000,3:2000000 of grants"),
    ("a refund to the first lot", 8, {"given": f"1:{3 * UNIT}"}, "seq 8: it names 1:3000000 of grants, the order of"),
    ("a refund of paid money", 8, {"given": None}, "seq 8: it names nothing of grants, the order of spending comes to"),
    ("a capture of paid money", 9, {"given": None}, "seq 9: it names nothing of grants, the order of spending comes"),
    (
        "a release to another",
        10,
        {"given": f"2:{2 * UNIT}"},
        "seq 10: it names 2:2000000 of grants, the order of spend",
    ),
    ("given where nothing is", 1, {"given": f"1:{UNIT}"}, "seq 1: it names 1:1000000 of grants, the order of spending"),
    (
        "written otherwise",
        6,
        {"given": f"1:0{5 * UNIT},2:{2 * UNIT}"},
        "seq 6: it names 1:05000000,2:2000000 of grants",
    ),
    ("that can't be read", 6, {"given": "x"}, "seq 6: what it says of grants can't be read"),
    ("a grant of more", 3, {"given": f"2:{6 * UNIT}"}, "seq 3: the terms of its grant name another amount"),
    ("a grant twice", 3, {"given": f"1:{5 * UNIT}"}, "seq 3: makes grant 1 a second time"),
    ("a later end", 2, {"given": f"1:{5 * UNIT};expires={END + 1}"}, "seq 11: ends grant 1 before its time was over"),
    (
        "an earlier end",
        2,
        {"given": f"1:{5 * UNIT};expires={NOW}"},
        "seq 6: grant 1 was over before it, and 5.00 of it",
    ),
    ("no end", 2, {"given": f"1:{5 * UNIT}"}, "seq 11: ends grant 1 before its time was over"),
    ("another priority", 3, {"given": f"2:{5 * UNIT};priority=1"}, "seq 6: it names 1:5000000,2:2000000 of grants"),
    ("terms in other words", 3, {"given": f"2:{5 * UNIT};priority=0"}, "seq 3: the terms of its grant are not written"),
    ("a start in its terms", 3, {"given": f"2:{5 * UNIT};starts=5"}, "seq 3: the terms of its grant are not written"),
    ("another reference", 3, {"reference": "G9"}, "seq 3: its idempotency key is not that of a grant"),
    (
        "an end of more",
        11,
        {"given": f"1:{2 * UNIT}", "amount": 2 * UNIT},
        "seq 11: ends 2.00 of grant 1, of which 1.0",
    ),
    ("an end of another", 11, {"refers_to": 3}, "seq 11: does not refer to the transfer that made grant 1"),
    ("an end of none", 11, {"given": f"9:{UNIT}"}, "seq 11: ends a grant that no transfer made"),
    ("an end named otherwise", 11, {"idempotency_key": "end"}, "seq 11: its idempotency key is not that of the end"),
    (
        "a second end",
        14,
        {"idempotency_key": "end of grant 1"},
        "seq 14: what the transfer of seq 13 gave back to grant",
    ),
]


@pytest.mark.parametrize(("what", "seq", "fields", "fault"), TAMPERED, ids=[row[0] for row in TAMPERED])
def test_what_is_changed_is_found_even_if_all_hashes_are_made_anew(
    what: str, seq: int, fields: dict[str, Any], fault: str
) -> None:
    ledger = spent()
    changed(ledger, seq, **fields)
    faults = ledger.faults()
    assert any(one.startswith(fault) for one in faults), (what, faults)


def test_an_end_that_was_never_posted_is_found_at_the_next_transfer() -> None:
    ledger = _Ledger()
    ledger.top_up(5)
    ledger.give(1, 5, f";expires={END}", expires_at=END)
    ledger.now = END
    ledger.post(Kind.CHARGE, 1)
    assert "seq 3: grant 1 was over before it, and 5.00 of it was not ended" in ledger.faults()


def test_a_grant_may_be_spent_up_to_the_microsecond_before_its_end() -> None:
    ledger = _Ledger()
    ledger.give(1, 5, f";expires={END}", expires_at=END)
    ledger.now = END - 1
    ledger.post(Kind.CHARGE, 5, f"1:{5 * UNIT}")
    ledger.row(1, left=0)
    assert [] == ledger.faults()


def test_a_grant_is_not_spent_at_its_end() -> None:
    ledger = _Ledger()
    ledger.give(1, 5, f";expires={END}", expires_at=END)
    ledger.now = END
    ledger.post(Kind.CHARGE, 5, f"1:{5 * UNIT}")
    ledger.ended(1)
    assert [
        "seq 2: grant 1 was over before it, and 5.00 of it was not ended",
        "seq 2: it names 1:5000000 of grants, the order of spending comes to nothing",
    ] == ledger.faults()


def test_grants_end_in_the_order_of_their_times() -> None:
    ledger = _Ledger()
    for number, end in ((1, END + 1), (2, END), (3, END)):
        ledger.give(number, 5, f";expires={end}", expires_at=end)
        ledger.ended(number)
    ledger.now = END + 1
    for number in (2, 3, 1):
        ledger.end(number, 5)
    assert [] == ledger.faults()
    for wrong in ((2, 1, 3), (3, 2, 1)):
        ledger.transfers[3:] = []
        for number in wrong:
            ledger.end(number, 5)
        assert any("was over before it" in fault for fault in ledger.faults())


def test_support_ends_a_grant_at_any_time_and_says_why() -> None:
    ledger = _Ledger()
    ledger.give(1, 5, f";expires={END}", expires_at=END)
    ledger.end(1, 5, note="a mistake")
    ledger.ended(1, NOW)
    assert [] == ledger.faults()
    changed(ledger, 2, note=None)
    assert "seq 2: ends grant 1 before its time was over" in ledger.faults()


def test_what_comes_back_to_a_grant_that_is_over_ends_at_once_or_is_found() -> None:
    ledger = _Ledger()
    ledger.give(1, 5, f";expires={END}", expires_at=END)
    ledger.post(Kind.CHARGE, 5, f"1:{5 * UNIT}")
    ledger.now = END
    ledger.post(Kind.REFUND, 5, f"1:{5 * UNIT}", refers_to=2, request_type="image")
    fault = "what the transfer of seq 3 gave back to grant 1, which is over, was not ended"
    ledger.ended(1)
    assert any(fault in one for one in ledger.faults())
    ledger.top_up(1)
    assert f"seq 4: {fault}" in ledger.faults()


def test_a_grant_that_support_ended_with_nothing_left_ends_again_when_something_comes_back() -> None:
    ledger = _Ledger()
    ledger.give(1, 5)
    ledger.post(Kind.CHARGE, 5, f"1:{5 * UNIT}")
    ledger.post(Kind.REFUND, 5, f"1:{5 * UNIT}", refers_to=2, request_type="image")
    ledger.end(1, 5, after=3)
    ledger.ended(1)
    assert [] == ledger.faults()


def test_an_end_that_follows_what_came_back_to_an_open_grant_is_found() -> None:
    ledger = _Ledger()
    ledger.give(1, 5)
    ledger.post(Kind.CHARGE, 3, f"1:{3 * UNIT}")
    ledger.post(Kind.REFUND, 3, f"1:{3 * UNIT}", refers_to=2, request_type="image")
    ledger.end(1, 3, after=3)
    ledger.ended(1)
    assert "seq 4: ends what came back to grant 1, which is not over" in ledger.faults()


ROWS: Final[list[tuple[str, int, dict[str, Any]]]] = [
    ("more left", 2, {"left": 3 * UNIT}),
    ("another amount", 2, {"amount": 6 * UNIT}),
    ("another priority", 2, {"priority": 1}),
    ("another end", 2, {"expires_at": END}),
    ("no end", 1, {"expires_at": None}),
    ("other types", 3, {"types": None}),
    ("another reference", 2, {"reference": "G9"}),
    ("another reason", 2, {"reason": "other"}),
    ("another key", 2, {"idempotency_key": "grant G9"}),
    ("another fingerprint", 2, {"fingerprint": bytes(8)}),
    ("another transfer", 2, {"transfer_seq": 2}),
    ("no transfer", 2, {"transfer_seq": None}),
    ("a later start", 2, {"starts_at": NOW + 1}),
    ("open once more", 1, {"state": GrantState.OPEN, "ended_at": None}),
    ("ended with something left", 3, {"state": GrantState.ENDED, "ended_at": NOW}),
    ("ended without a time", 1, {"ended_at": None}),
    ("waiting", 2, {"state": GrantState.WAITING}),
]


@pytest.mark.parametrize(("what", "number", "fields"), ROWS, ids=[row[0] for row in ROWS])
def test_a_grants_row_that_was_changed_by_hand_is_found(what: str, number: int, fields: dict[str, Any]) -> None:
    ledger = spent()
    account = ledger.account()
    ledger.row(number, **fields)
    assert f"seq 14: the row of grant {number} says otherwise than its transfers" in ledger.faults(account)


def test_rows_and_the_account_are_compared_as_a_whole() -> None:
    ledger = spent()
    account = ledger.account()
    row = ledger.grants.pop(2)
    assert "seq 14: the row of grant 2 is missing" in ledger.faults(account)
    ledger.grants[2] = row
    waiting = replace(row, number=5, left=0, state=GrantState.WAITING, transfer_seq=None, starts_at=END + 1)
    ledger.grants[5] = waiting
    assert [] == ledger.faults()
    ledger.row(5, starts_at=END)
    assert "seq 14: grant 5 should have started" in ledger.faults()
    for fields in ({"left": 1}, {"transfer_seq": 3}, {"state": GrantState.OPEN}):
        ledger.grants[5] = replace(waiting, **fields)
        assert "seq 14: the row of grant 5 tells of a transfer that is not there" in ledger.faults()
    ledger.grants[6] = replace(ledger.grants.pop(5), number=6)
    assert "seq 14: the numbers of its grants have gaps" in ledger.faults()


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"given": UNIT}, "seq 14: the account's given is 1.00, its grants come to 8.00"),
        ({"grants_count": 5}, "seq 14: the account's grants_count is 5, its grants come to 4"),
        ({"grants_due_at": END}, f"seq 14: the account's grants_due_at is {END}, its grants come to None"),
    ],
)
def test_what_the_account_says_of_grants_is_compared(fields: dict[str, Any], fault: str) -> None:
    ledger = spent()
    assert fault in ledger.faults(ledger.account(**fields))
