"""Reports of weeks and months: what they came to, for merchants and staff; who wants them, and which mails are owed."""
