"""How things look in JSON: a merchant, a key or a price has the same fields in the API and on the command line.

One file per thing: its data as a Struct, whose fields carry their words in the API's document, and a function that
makes it of the ledger's own values.
"""
