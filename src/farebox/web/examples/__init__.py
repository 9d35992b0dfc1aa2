"""The developers' examples: programs that read a balance and that charge, to be copied, each run by the tests as it is.

They are part of the package, so that any installed server can show them, with its own URL in them.
"""

from importlib.resources import files
from typing import Final
from urllib.parse import quote

from msgspec import Struct

URL: Final = "http://127.0.0.1:8000"
"""What stands in each example for the server's URL, once."""

BALANCE: Final = (
    ("curl", "balance.sh"),
    ("Python", "balance.py"),
    ("C#", "Balance.cs"),
    ("JavaScript", "balance.mjs"),
    ("PHP", "balance.php"),
    ("Go", "balance.go"),
)
CHARGE: Final = (
    ("curl", "charge.sh"),
    ("C#", "Charge.cs"),
    ("JavaScript", "charge.mjs"),
    ("PHP", "charge.php"),
    ("Go", "charge.go"),
)

# A quote, a dollar or a backslash would be more than text within a string of one language or another.
_URL_CHARACTERS: Final = ":/?#[]@!&()*+,;=%"


class Example(Struct, frozen=True):
    """A program in one language."""

    language: str
    name: str
    text: str


def balance_examples(url: str) -> list[Example]:
    """Return a program in each language that reads a balance from the server at this URL."""
    return _examples(BALANCE, url)


def charge_examples(url: str) -> list[Example]:
    """Return a program in each language that charges for a request at the server at this URL."""
    return _examples(CHARGE, url)


def chosen_example(examples: list[Example], name: str | None) -> Example:
    """Return the program of this name; the first one if none is called so."""
    return next((example for example in examples if example.name == name), examples[0])


def _examples(programs: tuple[tuple[str, str], ...], url: str) -> list[Example]:
    safe = quote(url.rstrip("/"), safe=_URL_CHARACTERS)
    folder = files("farebox.web.examples")
    return [
        Example(language, name, (folder / name).read_text(encoding="utf-8").replace(URL, safe))
        for language, name in programs
    ]
