"""How much of real price lists Farebox can charge, and whether every charge is exact: `make price-fit`.

The lists are those of pinned packages, downloaded into a temporary folder and read as data; nothing of them is run.
"""
