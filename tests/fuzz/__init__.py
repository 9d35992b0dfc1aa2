"""Made-up inputs for whatever reads what comes from outside: each is taken for what it is, or refused by name."""
