"""Account mails, and the mail servers that take mails."""
