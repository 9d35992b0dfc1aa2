"""Rules of prices and what requests cost by them, for every program that works out costs: `prices.json`.

`cases.py` has the rules and requests, with the amounts that were worked out by hand. `python -m tests.vectors` writes
the file from them by a model that is no part of Farebox.
"""

from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("prices.json")
