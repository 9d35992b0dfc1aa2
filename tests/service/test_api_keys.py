"""API keys: how they look, what is read out of them, and that their text is kept nowhere."""

import re
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core import ids
from farebox.core.commands import Caller, KeyKind, Payer
from farebox.service.people import api_keys
from farebox.service.people.api_keys import ParsedKey

NUMBER = 1_234_567_890_123_456_789
MERCHANT_KEY = f"fbm_{ids.encode_number(NUMBER)}0123456789ABCDEFGHJKMNPQRS"
SERVICE_KEY = "fbs_ZYXWVTSRQPNMKJHGFEDCBA9876"
SUPPORT_KEY = "fbu_000000000000000000000000ZZ"


@pytest.mark.parametrize(
    ("kind", "merchant_id", "shape"),
    [
        (KeyKind.MERCHANT, NUMBER, r"fbm_[0-9A-HJKMNP-TV-Z]{39}"),
        (KeyKind.SERVICE, None, r"fbs_[0-9A-HJKMNP-TV-Z]{26}"),
        (KeyKind.SUPPORT, None, r"fbu_[0-9A-HJKMNP-TV-Z]{26}"),
    ],
)
def test_key_is_its_kind_its_merchant_and_randomness(kind: KeyKind, merchant_id: int | None, shape: str) -> None:
    assert re.fullmatch(shape, api_keys.make_key(kind, merchant_id))


def test_merchants_key_names_its_merchant() -> None:
    assert ids.encode_number(NUMBER) == api_keys.make_key(KeyKind.MERCHANT, NUMBER)[4:17]


def test_no_two_keys_are_the_same() -> None:
    assert 1000 == len({api_keys.make_key(KeyKind.SERVICE) for _ in range(1000)})
    assert 1000 == len({api_keys.make_key(KeyKind.MERCHANT, NUMBER)[17:] for _ in range(1000)})


@given(st.sampled_from(KeyKind), st.integers(0, ids.NUMBER_MAX))
def test_key_is_read_back(kind: KeyKind, number: int) -> None:
    merchant_id = number if kind is KeyKind.MERCHANT else None
    text = api_keys.make_key(kind, merchant_id)
    assert ParsedKey(kind, merchant_id, api_keys.digest(text)) == api_keys.parse_key(text)


def test_digest_is_blake2b_of_the_whole_text() -> None:
    assert blake2b(SERVICE_KEY.encode(), digest_size=32).digest() == api_keys.digest(SERVICE_KEY)


@pytest.mark.parametrize(
    "text",
    [
        *("", "fbm_", "fbs_", SERVICE_KEY[:-1], SERVICE_KEY + "0", SERVICE_KEY.lower(), " " + SERVICE_KEY),
        *(SERVICE_KEY + "\n", SERVICE_KEY[:4] + "I" + SERVICE_KEY[5:], SERVICE_KEY[:4] + "\u0661" + SERVICE_KEY[5:]),
        *("fbx_" + SERVICE_KEY[4:], "fbs_" + MERCHANT_KEY[4:], "fbm_" + SERVICE_KEY[4:], "fbu_" + MERCHANT_KEY[4:]),
        *("fbm_8" + MERCHANT_KEY[5:], "fbm_Z" + MERCHANT_KEY[5:], MERCHANT_KEY * 2, "mer_" + MERCHANT_KEY[4:17]),
    ],
)
def test_what_farebox_never_made_is_no_key(text: str) -> None:
    assert api_keys.parse_key(text) is None


@given(st.text() | st.from_regex(r"fb[msu]_[0-9A-Z]{20,45}", fullmatch=True))
def test_any_text_is_a_key_or_is_not(text: str) -> None:
    key = api_keys.parse_key(text)
    assert key is None or text[:4] == api_keys.PREFIXES[key.kind]
    payer = api_keys.parse_payer(text)
    assert payer is None or 0 <= payer.merchant_id <= ids.NUMBER_MAX


def test_caller_is_named_by_its_digest_and_its_merchant() -> None:
    for text, merchant_id in ((MERCHANT_KEY, NUMBER), (SERVICE_KEY, None)):
        key = api_keys.parse_key(text)
        assert key is not None
        assert Caller(api_keys.digest(text), merchant_id) == key.caller


def test_payer_is_named_by_id_or_by_key() -> None:
    assert Payer(NUMBER) == api_keys.parse_payer(ids.public_id(ids.MERCHANT, NUMBER))
    assert Payer(NUMBER, api_keys.digest(MERCHANT_KEY)) == api_keys.parse_payer(MERCHANT_KEY)


@pytest.mark.parametrize("text", ["", "mer_", "mer_x", "mer_ZZZZZZZZZZZZZ", SERVICE_KEY, SUPPORT_KEY, "Northwind"])
def test_what_names_no_merchant_is_no_payer(text: str) -> None:
    assert api_keys.parse_payer(text) is None


def test_hint_tells_kind_and_last_characters_alone() -> None:
    assert f"fbm_…{MERCHANT_KEY[-4:]}" == api_keys.hint(MERCHANT_KEY)
