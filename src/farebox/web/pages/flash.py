"""Flashes: what a page says after something was done.

A page's address has no more than the flash's name, so nobody else's words can be put there.
"""

from typing import Final

from farebox.service.languages import gettext_noop

FLASH_PARAMETER: Final = "flash"
"""The parameter of the query that names a flash."""

FLASHES: Final = {
    "signed_out": gettext_noop("You are signed out."),
    "signed_out_elsewhere": gettext_noop("You are signed out everywhere else."),
    "language_chosen": gettext_noop("You are spoken to in this language from now on."),
    "password_changed": gettext_noop("Your password is changed, and you are signed out everywhere else."),
    "two_factor_on": gettext_noop("From now on you are asked for a one-time code when you sign in."),
    "two_factor_off": gettext_noop("You are not asked for one-time codes any more."),
    "thresholds_saved": "The thresholds are saved.",
    "reports_saved": "It is saved which reports you get.",
    "test_sent": "A test mail is on its way to you.",
    "key_revoked": "The key is revoked: it opens nothing any more.",
    "key_suspended": "The key is suspended: it opens nothing until it is resumed.",
    "key_resumed": "The key is resumed: it opens what it did before.",
    "key_was_revoked": "The key had been revoked before; nothing is changed.",
    "key_renamed": "The key's name is saved.",
    "budget_saved": "The budget is saved, and holds from now on.",
    "budget_removed": "The key has no budget any more.",
    "key_expiry_saved": "The key's end is saved.",
    "invited": "The invitation is on its way.",
    "user_removed": "They are removed, and get no more mails.",
    "role_saved": "The role is saved.",
    "topped_up": "The top-up is in the ledger.",
    "adjusted": "The adjustment is in the ledger.",
    "reversed": "The top-up is taken back.",
    "credit_given": "The credit is given.",
    "grant_was_made": "This was given before, under the same reference; nothing is given again.",
    "grant_ended": "The credit has ended: what was left of it can't be spent any more.",
    "refunded": "The refund is in the ledger.",
    "hold_released": "The hold is released: its money is available again.",
    "waits": "It waits for a second person's approval.",
    "approved": "It is approved and in the ledger.",
    "rejected": "It is rejected; nothing was moved.",
    "credit_limit_saved": "The credit limit is saved.",
    "frozen": "The merchant is frozen: every charge is refused.",
    "unfrozen": "The merchant can spend again.",
    "closed": "The merchant is closed: its keys open nothing, and no money of it moves.",
    "reopened": "The merchant is open again.",
    "noted": "It is noted.",
    "tagged": "The tags are saved.",
    "renamed": "The name is changed.",
    "price_saved": "The price is saved.",
    "prices_imported": "The prices are imported.",
    "price_ended": "The price has ended.",
    "price_end_saved": "The end of the price is saved; it can be withdrawn until then.",
    "price_has_ended": "There is no price in force that could end then.",
    "price_has_started": "That price has started, so it can't be withdrawn any more.",
    "price_was_withdrawn": "That price was withdrawn already.",
    "price_withdrawn": "The price is withdrawn, and never starts.",
    "retried": "Every mail that was not sent is due now.",
    "staff_added": "The invitation is on its way.",
    "staff_confirmed": "They are a person of their own now, and may approve.",
    "staff_closed": "They can't sign in any more.",
    "staff_reopened": "They can sign in again.",
    "staff_two_factor_off": "They are not asked for one-time codes any more.",
    "was_made": "This was made before, under the same reference; nothing was moved again.",
    "sent_twice": "The form came more than once; this was done once.",
    "verifying": "The verification has begun. You may leave this page; it goes on.",
}
