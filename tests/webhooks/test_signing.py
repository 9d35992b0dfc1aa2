"""Signatures by Standard Webhooks: what the specification's own example has, and two while a secret is replaced."""

import base64
import hashlib
import hmac
import json
import time
from typing import Final

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from farebox.webhooks.signing import signed_headers

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER: Final = "whsec_" + base64.b64encode(b"x" * 32).decode()
BODY: Final = '{"type":"balance.low","data":{"name":"Café €"}}'


def test_the_specifications_example() -> None:
    """Its id, time, body and signature, as docs.svix.com and the specification's libraries have them."""
    headers = signed_headers(
        [SECRET], webhook_id="msg_p5jXN8AQM9LWM0D4loKWxJek", body='{"test": 2432232314}', now=1_614_265_330_999_999
    )
    assert {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    } == headers


def test_a_signature_is_the_hmac_of_id_time_and_body() -> None:
    headers = signed_headers([OTHER], webhook_id="alert_1_dest_1", body=BODY, now=1_800_000_000_000_000)
    digest = hmac.new(b"x" * 32, f"alert_1_dest_1.1800000000.{BODY}".encode(), hashlib.sha256).digest()
    assert f"v1,{base64.b64encode(digest).decode()}" == headers["webhook-signature"]


@pytest.mark.parametrize("secret", [SECRET, OTHER])
def test_either_secret_verifies_while_one_takes_the_others_place(secret: str) -> None:
    headers = signed_headers([OTHER, SECRET], webhook_id="alert_1_dest_1", body=BODY, now=time.time_ns() // 1_000)
    assert json.loads(BODY) == Webhook(secret).verify(BODY.encode(), headers)


@pytest.mark.parametrize("part", ["body", "webhook-id", "webhook-timestamp", "webhook-signature"])
def test_what_was_changed_does_not_verify(part: str) -> None:
    headers = signed_headers([SECRET], webhook_id="alert_1_dest_1", body=BODY, now=time.time_ns() // 1_000)
    body = BODY
    if part == "body":
        body = body.replace("low", "LOW")
    elif part == "webhook-timestamp":
        headers[part] = str(int(headers[part]) + 1)
    else:
        # Of the last character before the padding, two bits mean nothing.
        headers[part] = headers[part][:-3] + ("A" if headers[part][-3] != "A" else "B") + headers[part][-2:]
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, headers)


def test_an_old_message_does_not_verify() -> None:
    headers = signed_headers(
        [SECRET], webhook_id="alert_1_dest_1", body=BODY, now=(time.time_ns() // 1_000) - 600_000_000
    )
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(SECRET).verify(BODY, headers)
