"""Which mailbox an e-mail address reaches: one mailbox is one person, however the address is written."""

import unicodedata


def mailbox_of(email: str) -> str:
    """Write an address so that two that reach one mailbox are equal, as mail providers compare them.

    The domain is in ASCII and lower case. The part before it is in lower case too: by RFC 5321 a server may tell `Ann`
    from `ann`, and none of note does. It is lowered, not case-folded, which would take `straße` for `strasse`, and
    composed (NFC), so that one letter is the same however it was typed. Dots and what follows a plus sign stay:
    providers differ in those.
    """
    local, _, domain = unicodedata.normalize("NFC", email).rpartition("@")
    return f"{unicodedata.normalize('NFC', local.lower())}@{_in_ascii(domain)}"


def _in_ascii(domain: str) -> str:
    if domain.isascii():
        return domain.lower()
    import email_validator

    try:
        # It takes domains with an address alone.
        return email_validator.validate_email(f"a@{domain}", check_deliverability=False).ascii_domain.lower()
    except email_validator.EmailNotValidError:
        # No mail can go there; it is told apart all the same.
        return unicodedata.normalize("NFC", domain.lower())
