"""A token says what the gate signed, and nothing that anybody else wrote."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from hmac import digest
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.service.gate.tokens import (
    FUTURE_SECONDS_MAX,
    TOKEN_SECONDS_MAX,
    BadToken,
    GateRefusal,
    GateSigner,
    GateToken,
    Mode,
)

SIGNER: Final = GateSigner("0123456789abcdef0123456789abcdef")
NOW: Final = 1_800_000_000
TOKEN: Final = GateToken(Mode.CHARGE, "mer_01K9ABCDEFGHJ", "xfer_01K9ABCDEFGHJ00000002", NOW, "search", 1, None, None)
REFUSAL: Final = GateRefusal(402, "insufficient_balance", "There is too little", (("retry-after", "1"),))


@given(
    st.sampled_from(Mode),
    st.text(max_size=40),
    st.integers(1, 10**9),
    st.none() | st.dictionaries(st.text(min_size=1, max_size=9), st.integers(0, 10**15), max_size=8),
    st.none() | st.just("0.25"),
)
def test_a_token_is_read_back_as_it_was_made(
    mode: Mode, request_type: str, quantity: int, quantities: dict[str, int] | None, amount: str | None
) -> None:
    token = replace(
        TOKEN, mode=mode, request_type=request_type, quantity=quantity, quantities=quantities, amount=amount
    )
    text = SIGNER.token(token)
    assert token == SIGNER.read_token(text, NOW)
    assert text == SIGNER.token(token)
    # No log format quotes any of these.
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_a_token_has_the_form_that_is_written_down() -> None:
    version, payload, code = SIGNER.token(TOKEN).split(".")
    assert "g1" == version
    told = ["charge", "mer_01K9ABCDEFGHJ", "xfer_01K9ABCDEFGHJ00000002", NOW, "search", 1, None, None]
    assert told == json.loads(_decoded(payload))
    signed = digest(b"0123456789abcdef0123456789abcdef", f"g1.{payload}".encode(), sha256)
    assert signed[:16] == _decoded(code)


def test_a_refusal_is_read_back_as_it_was_made() -> None:
    assert REFUSAL == SIGNER.read_refusal(SIGNER.refusal(REFUSAL))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "-",
            ".",
            "..",
            "g1",
            "g1.",
            "g1..",
            "g1.e30.",
            "g2.e30.AAAA",
            "{}",
            "\xe4",
            "g1.\xe4.x",
            "g1." + "A" * 20_000,
        ),
        GateSigner("another secret, of the same length").token(TOKEN),
        SIGNER.refusal(REFUSAL),
        SIGNER.token(TOKEN)[:-1],
        SIGNER.token(TOKEN) + "A",
        SIGNER.token(TOKEN).swapcase(),
        SIGNER.token(TOKEN).replace("g1.", "g2."),
        SIGNER.token(TOKEN).replace(".", " "),
        " " + SIGNER.token(TOKEN),
    ],
)
def test_a_token_that_was_not_made_here_is_refused(text: str) -> None:
    with pytest.raises(BadToken):
        SIGNER.read_token(text, NOW)


def test_a_refusal_is_no_token_and_a_token_no_refusal() -> None:
    with pytest.raises(BadToken):
        SIGNER.read_refusal(SIGNER.token(TOKEN))
    with pytest.raises(BadToken):
        SIGNER.read_token(SIGNER.refusal(REFUSAL), NOW)


@given(st.data())
def test_no_character_of_a_token_can_be_changed(data: st.DataObject) -> None:
    text = SIGNER.token(TOKEN)
    place = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.sampled_from("ABCDefgh0189-_. =").filter(lambda other: other != text[place]))
    with pytest.raises(BadToken):
        SIGNER.read_token(text[:place] + character + text[place + 1 :], NOW)


def test_a_payload_of_another_form_is_refused_even_if_it_is_signed() -> None:
    key = b"0123456789abcdef0123456789abcdef"
    contents: list[object] = [
        {},
        [],
        ["free", *["x"] * 7],
        ["charge", "m", "x", "soon", "t", 1, None, None],
        [*"12345678", 9],
    ]
    for content in contents:
        signed = f"g1.{_encoded(json.dumps(content).encode())}"
        with pytest.raises(BadToken, match="version"):
            SIGNER.read_token(f"{signed}.{_encoded(digest(key, signed.encode(), sha256)[:16])}", NOW)


def test_a_token_is_believed_for_so_long_and_not_ahead_of_its_time() -> None:
    text = SIGNER.token(TOKEN)
    assert TOKEN == SIGNER.read_token(text, NOW + TOKEN_SECONDS_MAX)
    assert TOKEN == SIGNER.read_token(text, NOW - FUTURE_SECONDS_MAX)
    with pytest.raises(BadToken, match="older than 30 days"):
        SIGNER.read_token(text, NOW + TOKEN_SECONDS_MAX + 1)
    with pytest.raises(BadToken, match="time to come"):
        SIGNER.read_token(text, NOW - FUTURE_SECONDS_MAX - 1)


def test_the_secret_is_known_by_all_of_it() -> None:
    assert SIGNER.is_secret(b"0123456789abcdef0123456789abcdef")
    for other in (b"", b"0123456789abcdef0123456789abcde", b"0123456789ABCDEF0123456789ABCDEF", b"\xff" * 32):
        assert not SIGNER.is_secret(other)


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
