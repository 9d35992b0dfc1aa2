"""Mails to people, about balances, accounts and approvals: what each says, how it travels, and that it is owed once."""
