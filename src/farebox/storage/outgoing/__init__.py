"""What people are told by mail: deliveries of alerts, account mails and reports that are owed, and the mail servers."""
