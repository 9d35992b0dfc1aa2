#!/usr/bin/env bash
# standardwebhooks (and svix) sign a timestamp of another zone than UTC as if it were UTC, and no receiver takes the signature.
#
# Guess:     sign() takes an aware datetime for the instant that it is, so a clock in Berlin and one in UTC sign alike, and match a
#            webhook-timestamp header of int(timestamp.timestamp()).
# Behaviour: the zone is replaced by UTC without converting, so an aware datetime is off by its offset, and what is signed is another
#            second than the header tells: "No matching signature found". A naive datetime is read as UTC, where
#            .timestamp() reads it as local time, so datetime.now() passes on servers in UTC, and in tests there, and fails elsewhere. In
#            a zone like London's it begins to fail in March. Only a datetime in UTC is signed rightly.
# Versions:  standardwebhooks 1.1.0, svix 2.9.1 (which calls it)
# Source:    standardwebhooks/webhooks.py, Webhook.sign: timestamp.replace(tzinfo=timezone.utc); Standard Webhooks, "Signature scheme": the
#            timestamp that is signed is that of the header
# Seen:
#   standardwebhooks, aware, UTC: verified
#   standardwebhooks, aware, UTC+02:00: No matching signature found
#   standardwebhooks, naive, on a server in UTC: verified
#   standardwebhooks, naive, on a server two hours ahead: No matching signature found
#   svix, aware, UTC: verified
#   svix, aware, UTC+02:00: No matching signature found
#   svix, naive, on a server in UTC: verified
#   svix, naive, on a server two hours ahead: No matching signature found
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet standardwebhooks==1.1.0 svix==2.9.1

"$folder/venv/bin/python" - <<'PYTHON'
import base64
import os
import time
from datetime import UTC, datetime, timedelta, timezone

import standardwebhooks
import svix

BODY = '{"type": "balance.low"}'
SECRET = base64.b64encode(bytes(range(32))).decode()


def answer(webhook, timestamp: datetime) -> str:
    """Sign as a sender would, and tell what a receiver says to it."""
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(timestamp.timestamp())),
        "webhook-signature": webhook.sign("msg_1", timestamp, BODY),
    }
    try:
        webhook.verify(BODY, headers)
    except (standardwebhooks.WebhookVerificationError, svix.WebhookVerificationError) as error:
        return str(error)
    return "verified"


def naive(webhook, zone: str) -> str:
    """The same of datetime.now() on a server with this zone."""
    os.environ["TZ"] = zone
    time.tzset()
    return answer(webhook, datetime.now())


found = {}
for library in (standardwebhooks, svix):
    webhook = library.Webhook(SECRET)
    for case, told in {
        "aware, UTC": answer(webhook, datetime.now(UTC)),
        "aware, UTC+02:00": answer(webhook, datetime.now(timezone(timedelta(hours=2)))),
        "naive, on a server in UTC": naive(webhook, "UTC0"),
        "naive, on a server two hours ahead": naive(webhook, "AHEAD-2"),
    }.items():
        found[library.__name__, case] = told
        print(f"{library.__name__}, {case}: {told}")
expected = ["verified", "No matching signature found"] * 4
assert list(found.values()) == expected, "a timestamp is signed otherwise now"
PYTHON
