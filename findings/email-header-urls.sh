#!/usr/bin/env bash
# Python's email package writes a long URL in List-Unsubscribe as an encoded word, which no mail program follows.
#
# Guess:     EmailMessage folds a header that is pure ASCII at white space, and leaves a token that is longer than a line
#            as it is (RFC 5322 allows 998 characters), as it does for Message-ID.
# Behaviour: a token of more than 78 characters, such as a link with a signed token, is cut up and written as
#            =?utf-8?q?=3Chttps=3A//...?=, for every policy but compat32. RFC 2369 wants a URL in angle brackets there, and
#            RFC 2047 (section 5) allows encoded words in text, comments and phrases alone; so one-click unsubscribing
#            (RFC 8058), which big mail services ask for, is lost for exactly the mails whose links are signed. The same
#            happens to References with long ids. Setting the policy's max_line_length to 998 keeps the URL whole.
# Versions:  CPython 3.11 to 3.13 (email.policy.SMTP); sent by aiosmtplib 5.1.2 to aiosmtpd 1.4.6
# Source:    email._header_value_parser._refold_parse_tree; RFC 2369 section 2; RFC 2047 section 5
# Seen:
#   List-Unsubscribe: =?utf-8?q?=3Chttps=3A//shop=2Eexample/unsubscribe/...
#   with max_line_length=998: List-Unsubscribe: <https://shop.example/unsubscribe/...
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet aiosmtplib==5.1.2 aiosmtpd==1.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import socket
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy

import aiosmtplib
from aiosmtpd.controller import Controller

URL = "<https://shop.example/unsubscribe/" + "0123456789abcdef" * 5 + ">"
received = []


class Keep:
    async def handle_DATA(self, server, session, envelope):
        received.append(envelope.original_content.decode())
        return "250 OK"


def mail(policy: EmailPolicy) -> EmailMessage:
    message = EmailMessage(policy=policy)
    message["From"], message["To"], message["Subject"] = "a@shop.example", "b@mail.example", "Your balance"
    message["List-Unsubscribe"] = URL
    message.set_content("Low.\n")
    return message


def line(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("List-Unsubscribe"))


with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
server = Controller(Keep(), hostname="127.0.0.1", port=port)
server.start()
try:
    for policy in (SMTP, SMTP.clone(max_line_length=998)):
        message = mail(policy)
        asyncio.run(
            aiosmtplib.send(message.as_bytes(), sender="a@shop.example", recipients=["b@mail.example"],
                            hostname="127.0.0.1", port=port, start_tls=False)
        )
finally:
    server.stop()
print(line(received[0])[:70] + "...")
print("with max_line_length=998:", line(received[1])[:54] + "...")
assert "=?utf-8?q?=3Chttps=3A//" in line(received[0]), "the URL is not encoded any more"
assert line(received[1]) == f"List-Unsubscribe: {URL}", "a longer line does not keep the URL whole"
PYTHON
