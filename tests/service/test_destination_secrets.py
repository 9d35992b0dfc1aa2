"""Secrets of destinations: the database alone gives none away, and one that was brought along has to be a good one."""

import base64
import re
from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.service.errors import InvalidInput
from farebox.service.people.destination_secrets import (
    DestinationSecrets,
    SecretUnreadable,
    checked_signing_secret,
    new_signing_secret,
)
from farebox.storage.destination_records import Channel, Destination, DestinationState

SECRETS: Final = DestinationSecrets("a key of the operator's own 8201")
NOW: Final = 1_800_000_000_000_000
TEXT: Final = new_signing_secret()


def destination(secret: bytes, **fields: Any) -> Destination:
    made = Destination(
        *(7, 1, None, Channel.WEBHOOK, "orders", "https://example.com/hook", 2, DestinationState.ON),
        *(secret, None, None, NOW),
    )
    return replace(made, **fields)


def base64_of(raw: bytes) -> str:
    return f"whsec_{base64.b64encode(raw).decode()}"


def test_a_secret_is_read_as_it_was_written() -> None:
    assert [TEXT] == SECRETS.signing_secrets(destination(SECRETS.encrypt(7, TEXT)), NOW)


def test_what_is_stored_tells_nothing_and_is_never_the_same_twice() -> None:
    stored = SECRETS.encrypt(7, TEXT)
    assert TEXT.encode() not in stored
    assert stored != SECRETS.encrypt(7, TEXT)


@pytest.mark.parametrize("other", ["", "another key of the operator's 77"])
def test_with_another_key_of_the_operator_nothing_can_be_read(other: str) -> None:
    with pytest.raises(SecretUnreadable, match="FAREBOX_SECRET_KEY"):
        DestinationSecrets(other).decrypt(7, SECRETS.encrypt(7, TEXT))


@pytest.mark.parametrize("damage", [lambda text: text[:-1], lambda text: b"", lambda text: text[:20] + b"\0" * 60])
def test_what_was_changed_in_the_database_is_not_read(damage: Any) -> None:
    with pytest.raises(SecretUnreadable):
        SECRETS.decrypt(7, damage(SECRETS.encrypt(7, TEXT)))


def test_a_secret_that_was_copied_to_another_destination_is_not_read() -> None:
    with pytest.raises(SecretUnreadable):
        SECRETS.decrypt(8, SECRETS.encrypt(7, TEXT))


def test_the_secret_before_signs_too_until_its_time_is_over() -> None:
    old, new = new_signing_secret(), new_signing_secret()
    rotated = destination(SECRETS.encrypt(7, new), secret_before=SECRETS.encrypt(7, old), secret_before_until=NOW + 1)
    assert [new, old] == SECRETS.signing_secrets(rotated, NOW)
    assert [new] == SECRETS.signing_secrets(rotated, NOW + 1)


def test_a_secret_that_is_made_passes_for_one_that_is_brought() -> None:
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", TEXT)
    assert TEXT == checked_signing_secret("secret", TEXT)
    assert TEXT != new_signing_secret()


@pytest.mark.parametrize(
    ("text", "what_is_wrong"),
    [
        ("", "does not begin with whsec_"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "does not begin with whsec_"),
        ("whsec_", "not base64"),
        ("whsec_not-base-64-by-the-alphabet", "not base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "not base64"),
        ("whsec_ MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "not base64"),
        (base64_of(bytes(range(23))), "has 23 bytes"),
        (base64_of(bytes(range(65))), "has 65 bytes"),
        (base64_of(b"ab" * 16), "can be guessed"),
    ],
)
def test_a_secret_of_the_wrong_form_is_refused_without_showing_it(text: str, what_is_wrong: str) -> None:
    with pytest.raises(InvalidInput, match=what_is_wrong) as refusal:
        checked_signing_secret("secret", text)
    assert len(text) < 10 or text[6:] not in refusal.value.message


@pytest.mark.parametrize("count", [24, 64])
def test_a_secret_of_either_bound_is_taken(count: int) -> None:
    text = base64_of(bytes(range(count)))
    assert text == checked_signing_secret("secret", text)
