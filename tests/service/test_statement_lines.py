"""Lines of statements are what the plain way of writing them comes to, whatever a transfer holds."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple

from farebox.core.accounts import EFFECTS, Kind
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer
from farebox.service import inputs
from farebox.service.csv_files import csv_lines, csv_row
from farebox.service.statements.lines import CSV_COLUMNS, csv_rows, transfer_data

MICROS: Final = st.integers(-(10**12), 10**12)
_SPECIAL: Final = st.text(st.sampled_from("aZ09_.:- ,;=+@'\"\t\r\n\uff1dü"), min_size=1, max_size=4)
TEXTS: Final = st.sampled_from([None, "plain", "=1+1", "@cmd", '"quoted", and more', "-5", "ü", "", " "]) | _SPECIAL
TRANSFERS: Final = st.builds(
    Transfer,
    merchant_id=st.just(5),
    seq=st.integers(1, 10**6),
    kind=st.sampled_from(Kind),
    amount=st.integers(0, 10**12),
    idempotency_key=st.sampled_from(["key", "=key"]) | _SPECIAL,
    fingerprint=st.just(bytes(8)),
    wallet_after=MICROS,
    held_after=st.integers(0, 10**9),
    committed_at=st.integers(0, 3 * 10**6) | st.integers(0, 4 * 10**15),
    hash=st.just(bytes(32)),
    request_type=TEXTS,
    unit_price=st.none() | st.integers(1, 10**6),
    reference=TEXTS,
    note=TEXTS,
    pricing=st.none() | st.sampled_from(["input=1200", "input=1200,output=350;tier=1"]),
    given=st.sampled_from([None, "1:500000", "1:500000,3:250000"]),
    uncollected=st.none() | st.integers(1, 10**6),
)


@given(st.lists(TRANSFERS, max_size=4))
def test_amounts_times_and_cells_are_those_of_the_plain_way(transfers: list[Transfer]) -> None:
    rows = []
    for transfer in transfers:
        data, effect = transfer_data(transfer), EFFECTS[Kind(transfer.kind)]
        assert inputs.format_time(transfer.committed_at) == data.committed_at
        balances = (
            transfer.amount,
            transfer.wallet_after - effect.wallet * transfer.amount,
            transfer.wallet_after,
            transfer.held_after - effect.held * transfer.amount,
            transfer.held_after,
        )
        written = (data.amount, data.available_before, data.available_after, data.held_before, data.held_after)
        assert tuple(map(format_amount, balances)) == written
        given_micros = sum(int(part.partition(":")[2]) for part in (transfer.given or "").split(",") if part)
        values = (*astuple(data), format_amount(given_micros) if given_micros else None)
        rows.append(csv_row(CSV_COLUMNS, values, texts={"type", "reference", "note", "idempotencyKey"}))
    assert csv_lines(rows) == csv_rows(transfers)
