"""People, keys and their rights: API keys, passwords, sessions, mailed links, merchants' users, operator's staff."""
