"""Who may do what: API keys, passwords, sessions, mailed links, a merchant's users and the operator's staff."""
