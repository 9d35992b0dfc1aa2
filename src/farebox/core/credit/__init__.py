"""Credit that was not paid for: the grants that a wallet holds beside paid money."""
