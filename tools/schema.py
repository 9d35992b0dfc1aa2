"""The reference of the database: every table and column as the migrations make them, with what each means.

The meanings stand here, since migrations that were released are never edited. A table or column that has none stops
`make reference`, and so the test that holds the page to the code.
"""

import asyncio
import sqlite3
import tempfile
from pathlib import Path
from typing import Final

from farebox.bootstrap import make_connector
from farebox.config import Settings

HEAD: Final = """\
# The database

Every table and its columns, written by `make reference` from the migrations. They are the same on SQLite and
PostgreSQL: `INTEGER` is `bigint` there (`smallint` or `boolean` where that is enough), `TEXT` is `text`, `BLOB` is
`bytea`.

Read it as you like, with a user that may only read. **Write to it by Farebox alone**: what another program changes in
a book breaks its hashes, and `farebox verify` names it. Columns may be added by a new version; the API is what stays.

Amounts are whole micros (10^-6 of the currency's unit), times are whole microseconds since 1970 in UTC, days count
from 1970, quarters are quarters of an hour since 1970. Ids are the numbers of which the public ids (`mer_…`,
`xfer_…`) are another writing. *key* marks the primary key, *null* what may be absent.
"""

TABLES: Final = {
    "account": "One closed book for each merchant: its six balances, and where the book is.",
    "alert": "What was told of a merchant: each alert and event, with its facts.",
    "approval": "Moves and limits that wait, or waited, for a second person.",
    "audit_log": "Who did what, from where.",
    "balance_month": "What each merchant had at the end of each month.",
    "credit_grant": "Credit that was given and not paid for.",
    "default_price": "The versions of default prices.",
    "delivery": "What is owed to whom of each alert: mails, webhooks, chats.",
    "delivery_attempt": "Attempts to send to webhooks and chats, for 30 days.",
    "destination": "Webhooks and chats.",
    "farebox_migration": "Which migrations were applied.",
    "hold": "Money that is set aside, one row for each hold.",
    "key_budget": "What a key may spend, and what of it is spent.",
    "letter": "Mails about accounts: invitations, new passwords, reports.",
    "login": "People who may sign in.",
    "lone_move": "What one person moved alone within a day, for the limit above which a second one is asked.",
    "mail_server": "A mail server that is given up for a while.",
    "merchant": "Customers who pay in advance.",
    "merchant_key": "API keys of merchants.",
    "merchant_note": "What staff noted about merchants.",
    "merchant_price": "The versions of merchants' own prices.",
    "merchant_user": "Who is registered on a merchant's account.",
    "outlook": "How long each merchant's money lasts, as it was worked out last.",
    "period_count": "Units that count over a month, for prices with such lines.",
    "refusal": "How many charges and holds were refused, for 35 days.",
    "repeat": "What was made under which idempotency key, for seven days.",
    "report": "Which period a mailed report tells of.",
    "report_choice": "Who wants which report, and when the next falls due.",
    "revenue_mark": "Up to where each book is in the sums of revenue.",
    "revenue_month": "Revenue by month, currency, kind and type.",
    "runway_episode": "Thresholds in days left that are being watched.",
    "session": "Browsers that are signed in.",
    "shortfall": "What was due and could not be taken.",
    "signing_seed": "Random bytes that links in mails are signed with, beside the secret key.",
    "spending_peak": "A merchant's highest five minutes of each day, for unusual spending.",
    "staff_key": "API keys of services and of support.",
    "transfer": "The books: every move of money, in the order of each book, never changed.",
    "unusual_spending": "The last unusual spending of each merchant.",
    "usage_component": "Quantities by quarter of an hour, type and line of a price.",
    "usage_key": "Usage by quarter of an hour, key and type.",
    "usage_key_mark": "Up to where each book is in usage by key.",
    "usage_mark": "Up to where each book is in usage.",
    "usage_quarter": "Usage by quarter of an hour and type.",
    "verification": "Runs of `farebox verify` over the whole ledger.",
}

COLUMNS: Final = {
    "action": "what was done, by its name",
    "address": "the network address that it came from",
    "adjustments": "balance of the account `adjustments`",
    "agent": "what the browser calls itself",
    "alert_number": "the alert, by its number among the merchant's",
    "alerts_count": "how many alerts the book has",
    "amount": "how much, in micros",
    "amount_billions": "the sum, in whole 10^9 micros",
    "amount_rest": "the rest of the sum, in micros",
    "answer": "what was answered, its beginning",
    "applied_at": "when",
    "at": "when",
    "attempts": "how often it was tried",
    "author": "who wrote it",
    "available": "what could be spent then",
    "began_at": "when it began",
    "billions": "the sum, in whole 10^9 units",
    "budget_id": "the budget; a key's successor has the same",
    "burn_per_day": "what was spent in a day",
    "captured": "what of it was captured",
    "channel": "1 mail, 2 webhook, 3 chat",
    "closed_at": "since when the merchant is closed",
    "committed_at": "when it was committed; never earlier than the one before",
    "computed_at": "when it was worked out",
    "content": "the fingerprint of the request, by which a retry is told from a conflict",
    "cost": "what was charged",
    "counts_as": "the people whom the account counts as beside itself, until it is confirmed",
    "created_at": "when it was made",
    "credit_limit": "how far the balance may go below zero",
    "currency": "the code of ISO 4217",
    "day": "the day, counted from 1970",
    "days": "the threshold, in days left",
    "decided_at": "when it was decided",
    "decided_by": "who decided",
    "decided_people": "the people behind that key or account",
    "destination_id": "the destination",
    "detail": "more about it, for people",
    "digest": "BLAKE2b of the key or token, whose text is nowhere",
    "disabled_at": "since when it is closed or disabled",
    "disabled_reason": "why",
    "due_at": "when the next is owed",
    "email": "the address",
    "ended_at": "when it ended",
    "entry_id": "tells entries of one moment apart",
    "expires_at": "until when it is good",
    "facts": "JSON of the moment: [facts](../explanation/alerts.md#facts)",
    "failing_since": "since when nothing got through",
    "failures": "how many failures in a row",
    "fingerprint": "of the request, by which a repeat is told from a conflict",
    "finished_at": "when it ended",
    "fired_at": "when",
    "first_problem": "the first fault that was found",
    "funding": "balance of the account `funding`",
    "given": "what of it is given credit; of a transfer, which grants and how much of each",
    "given_billions": "what of the sum was given credit, in whole 10^9 micros",
    "given_rest": "the rest of that",
    "grants_count": "how many grants the book has",
    "grants_due_at": "when the next grant starts or ends",
    "has_statement": "whether the statement is attached",
    "hash": "over the hash before and this transfer: [hashes](hashes.md)",
    "held": "balance of the account `held`",
    "held_after": "`held` after it",
    "hint": "the first and last characters, for people",
    "idempotency_key": "the caller's key, unique in the book",
    "is_end": "whether the version ends the price",
    "is_exhausted": "whether the merchant was told that it is used up",
    "is_frozen": "whether the merchant may spend",
    "key_id": "the API key that was named",
    "kind": "what it is, as a number that never changes its meaning",
    "kinds": "which events are wanted, as bits",
    "language": "the language that was chosen; empty for none",
    "last_at": "when the last transfer was committed",
    "last_error": "why the last attempt failed",
    "last_hash": "the hash of the last transfer",
    "letter_id": "the mail",
    "line": "the line of the price",
    "login_id": "who signs in",
    "made_id": "what was made",
    "mail_kinds": "which alerts are wanted by mail, as bits",
    "mailbox": "the mailbox that the address reaches; one is one person",
    "merchant_id": "the merchant",
    "merchants": "how many merchants there are",
    "merchants_done": "how many were checked",
    "month": "the month in UTC, counted from 1970",
    "name": "what people call it",
    "near_since": "since when the runway is short; absent while it is watched",
    "next_attempt_at": "when it is tried next",
    "note": "a remark, of people",
    "note_id": "tells notes apart",
    "number": "its number among the merchant's",
    "owed": "what is owed for top-ups that were taken back",
    "password_hash": "Argon2id of the password; absent while none was chosen",
    "paused_until": "until when nothing is sent there",
    "pauses": "how many pauses in a row",
    "people": "the people who made it or moved it",
    "period_unit": "over what is counted",
    "person": "who did it",
    "posted": "wallet and held together",
    "price_id": "the version of the price",
    "pricing": "what a rule priced it by: quantities, tier, window, counts before",
    "priority": "0 to 100, the lowest is spent first",
    "problems": "how many faults were found",
    "promotions": "balance of the account `promotions`",
    "purpose": "what the mail is for",
    "quantity": "of how many",
    "quarter": "the quarter of an hour, counted from 1970",
    "realm": "1 merchants' users, 2 the operator's staff",
    "reason": "why",
    "recipient_id": "the user or destination",
    "reference": "the payment's or document's own",
    "refers_to": "the seq of the transfer that it corrects or continues",
    "refunded": "what was given back",
    "refused": "what was refused, if it tells of a refusal",
    "remaining": "what is left of it",
    "request_type": "the request type",
    "requested_at": "when it was asked for",
    "requested_by": "who asked",
    "requested_people": "the people behind that key or account",
    "requests": "how many requests",
    "rest": "the rest of the sum",
    "revenue": "balance of the account `revenue`",
    "revoked_at": "when it was revoked",
    "role": "1 owner, 2 member, 3 viewer",
    "roles": "what it may do, as bits",
    "rule": "the rule, as JSON; absent for a unit price",
    "runs_out_at": "when the money ends; absent if nothing is spent",
    "runway_thresholds": "the days left to be warned below",
    "secret": "encrypted with the secret key: what signs, or the chat's URL",
    "secret_before": "the secret before, while it goes on",
    "secret_before_until": "until when it does",
    "seed": "random bytes that the link is made of",
    "seen_at": "when it was last seen",
    "sent_at": "when it was sent",
    "seq": "the place in the merchant's book, from 1",
    "server": "the mail server",
    "signed_in_at": "when they last signed in",
    "signing_seed_id": "1: there is one row",
    "since": "since when",
    "spent": "what was spent",
    "started_at": "when it began",
    "started_by": "who started it",
    "starts_at": "from when on it counts",
    "starts_on": "the first day of the period",
    "state": "where it stands, as a number",
    "status": "the HTTP status; absent if there was no answer",
    "subject": "whom or what it was done to",
    "suspended_at": "since when the key opens nothing",
    "tags": "the staff's tags, sorted, between commas",
    "terms": "of what was asked for: a grant's times, types, priority",
    "text": "what was noted",
    "threshold": "the threshold that it tells of",
    "thresholds": "the low-balance thresholds, and which are armed",
    "told_seq": "the transfer as of which it was told",
    "told_starts_at": "the budget's day, week or month that was told of",
    "took": "how long it took",
    "top_up_seq": "the top-up that was taken back",
    "totp_seed": "encrypted seed of one-time codes",
    "totp_step": "up to which step codes are used up",
    "transfer_seq": "the transfer that caused it, or that it made",
    "transfers_done": "how many transfers were checked",
    "types": "the request types that it pays for; empty for all",
    "uncollected": "what was due beyond it, and was not there",
    "uncollected_billions": "the sum of that, in whole 10^9 micros",
    "uncollected_rest": "the rest of that",
    "unit": "day, week, month or all time",
    "unit_price": "micros for one; absent for a rule, and where the caller names the amount",
    "units": "how many so far",
    "url": "where it is sent; a chat's shows its service alone",
    "used_at": "when it was last used",
    "user_id": "the user",
    "verification_id": "the run",
    "version": "goes up with each change",
    "wallet": "balance of the account `wallet`: what is available",
    "wallet_after": "`wallet` after it",
    "week_start": "the day that weeks begin with",
    "withdrawn_at": "when the version was withdrawn",
    "zone": "whose days they are",
}


def schema() -> str:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "farebox.db"
        asyncio.run(make_connector(Settings.of(database_url=f"sqlite:///{path}")).migrate(0))
        database = sqlite3.connect(path)
        try:
            names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
            parts = [part for (name,) in names for part in _table(database, name)]
        finally:
            database.close()
    return "\n".join([HEAD, *parts])


def _table(database: sqlite3.Connection, table: str) -> list[str]:
    rows = ["| column | type | | what it is |", "| --- | --- | --- | --- |"]
    for _, column, kind, is_needed, _, key in database.execute(f"PRAGMA table_info({table})"):
        mark = "key" if key else "" if is_needed else "null"
        rows.append(f"| `{column}` | {kind} | {mark} | {COLUMNS[column]} |")
    return [f"## `{table}`\n", f"{TABLES[table]}\n", *rows, ""]
