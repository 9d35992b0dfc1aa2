#!/usr/bin/env bash
# dkimpy signs List-Unsubscribe and leaves List-Unsubscribe-Post out, so one-click unsubscribing fails behind a valid signature.
#
# Guess:     sign() without a list of headers signs all that a signature has to cover: if it takes List-Unsubscribe, it
#            takes the header that stands beside it, too.
# Behaviour: its list is that of RFC 6376, which is older than RFC 8058. The newer header is not in h=, the signature is
#            valid, and nothing is said. RFC 8058 wants both headers covered, so a receiver that keeps to it offers
#            no one-click unsubscribing, which big mail services ask of senders. Naming it in include_headers helps.
# Versions:  dkimpy 1.1.8, with a key made by cryptography 50.0.2
# Source:    dkim.DKIM.SHOULD and default_sign_headers; RFC 6376 section 5.4.1; RFC 8058 section 4
# Seen:
#   by default: valid, h=from : to : subject : list-unsubscribe : from
#   named: valid, h=from : to : subject : list-unsubscribe : list-unsubscribe-post
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --disable-pip-version-check install --quiet dkimpy==1.1.8 cryptography==50.0.2

"$folder/venv/bin/python" - <<'PYTHON'
import base64

import dkim
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

MAIL = (
    b"From: shop@shop.example\r\nTo: a@mail.example\r\nSubject: Your balance\r\n"
    b"List-Unsubscribe: <https://shop.example/u/1>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\nLow.\r\n"
)
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
public = base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def signed(headers: list[bytes] | None = None) -> tuple[bool, list[str]]:
    signature = dkim.sign(MAIL, b"key", b"shop.example", private, include_headers=headers)
    valid = dkim.verify(signature + MAIL, dnsfunc=lambda name, timeout=5: b"v=DKIM1; k=rsa; p=" + public)
    tags = signature.decode().replace("\r\n", "").split(":", 1)[1].split(";")
    covered = next(tag.strip()[2:] for tag in tags if tag.strip().startswith("h="))
    return valid, ["".join(name.split()) for name in covered.split(":")]


def tell(how: str, valid: bool, covered: list[str]) -> None:
    print(f"{how}: {'valid' if valid else 'not valid'}, h={' : '.join(covered)}")


named = [b"from", b"to", b"subject", b"list-unsubscribe", b"list-unsubscribe-post"]
default, explicit = signed(), signed(named)
tell("by default", *default)
tell("named", *explicit)
assert default == (True, ["from", "to", "subject", "list-unsubscribe", "from"]), "other headers are signed now"
assert explicit == (True, [name.decode() for name in named]), "naming the header does not help"
PYTHON
