"""`farebox serve`: the first process of a server, and what an operator is told as it starts."""
