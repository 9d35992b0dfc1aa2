"""The words and names that were given up, what stands instead, and the few places where one of them is right.

Words are looked for in names and prose alike: `AccountMail`, `_account_mail` and "account mails" are the words account
and mail or mails. Names are those of Python's classes, functions, arguments, attributes and variables, as written.
"""

from typing import Final

WORDS: Final = {
    "house houses": "the thing's own name: services, page request, access control",
    "office offices": "the subject: merchants, approvals, audit log, runway snapshots",
    "desk desks": "console; desktop, of a screen",
    "door doors doorway": "sign-in; the way in: the API, the pages, the command line",
    "letter letters": "account mail; character, of a text",
    "deed deeds": "action; work, of a transaction",
    "seal seals sealed sealing unsealed": "signer, signed",
    "summer unsummed": "usage rollup, books to roll up",
    "patience impatient hasty": "body timeouts, short limits",
    "outlook outlooks prospect prospects": "runway snapshot",
    "firing firings": "alert",
    "team teams": "users, staff",
    "town towns street": "site, or what the fixture holds",
    "mailbag bag postman": "delivery queue, account mail dispatcher",
    "keyuse": "last used",
}
"""Words, separated by spaces, and what stands instead."""

NAMES: Final = {
    "Ask Who": "PageRequest, AccessControl, Audience",
    "Visit visit": "SignedIn, signed_in",
    "form_mark csrf_mark session_mark": "csrf_token",
    "said SAID": "flash, FLASHES; text, output",
    "looks LOOKS": "ticks; screens",
    "LinkSpent LinkUseless": "LinkExpired",
    "set_codes_up codes_set_up": "enable_two_factor",
    "KeyUse key_use": "LastUsed",
    "Pace": "Throughput",
    "sum_usage unsummed_books": "roll_up_usage, books_to_roll_up",
    "auditlog": "audit_log",
    "Audit": "Verifier",
    "Origin": "Actor",
    "Setting SETTINGS Transferring Requested": "AccountChange, ACCOUNT_CHANGES, TransferCommand, ApprovalCommand",
    "Ground": "nothing: endpoints share their base class",
    "an_id WRITTEN": "id_schema, AMOUNT_OUT",
    "Numbers draw_number": "IdGenerator, next",
}
"""Names, separated by spaces, and what stands instead."""

PHRASES: Final = (
    # Rules that a house keeps, as every project calls them.
    "house rules",
    # Letters of an alphabet, told from digits and signs.
    "letter or digit",
    "letters such as",
    "accented letter",
    "letters beyond ascii",
    # A product of that name.
    "microsoft teams",
    # An idiom, and a property of CSS.
    "to the letter",
    "letter spacing",
)
"""Phrases in which a word means another thing."""

RELEASED: Final = {
    # Migrations are never edited once released.
    "src/farebox/storage/sql/*/0*.sql": "*",
    # Tables keep the names that they were released with; SQL, and the tests of it, name them.
    "src/farebox/storage/*": "letter outlook",
    "tests/storage/*": "letter outlook",
    "docs/reference/schema.md": "letter outlook",
    "tools/schema.py": "letter outlook",
    "tests/moving/*": "letter outlook",
    "tests/web/console/test_merchants.py": "outlook",
    # LiteLLM's own word for a group of users who share a budget.
    "docs/how-to/leave-litellm.md": "team teams",
    "src/farebox/service/importing/litellm.py": "team teams",
    "tests/service/importing/*": "team teams",
}
"""Files, and the words in them that are names of the released schema, or of others; `*` is every word."""
