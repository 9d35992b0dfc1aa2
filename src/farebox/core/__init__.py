"""The ledger's rules: pure functions over plain values, with no I/O, clock, randomness, logging or settings.

Time and ids come in as arguments; the one third-party name is msgspec's Struct.
"""
