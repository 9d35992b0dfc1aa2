"""What nobody may do: every kind of key at every endpoint, and merchants at each other's books."""
