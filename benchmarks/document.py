"""The figures in docs/explanation: written between markers, on several pages, by the run that measured them."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

EXPLANATION: Final = Path(__file__).parents[1] / "docs" / "explanation"

SUMMARY: Final = "summary"
"""The block of the page that people read first; the long tables are in pages behind it."""

PAGES: Final = {
    SUMMARY: "performance.md",
    "figures": "figures/standard.md",
    "savings": "figures/savings.md",
    "observe": "figures/savings.md",
    "prices": "figures/prices.md",
    "grants": "figures/prices.md",
    "client": "figures/client.md",
    "against": "figures/against.md",
    "gateways": "figures/gate.md",
    "growth": "figures/growth.md",
    "large": "figures/growth.md",
    "memory": "figures/growth.md",
}
"""The page of each block, below docs/explanation."""


def put(name: str, texts: Iterable[Iterable[str]], pictures: Sequence[Path], folder: Path = EXPLANATION) -> None:
    """Put tables and pictures into their block, on its page.

    Raises:
        ValueError: the page has no such block.
    """
    page = folder / PAGES[name]
    rewrite(name, block(texts, pictures, page), page)


def block(texts: Iterable[Iterable[str]], pictures: Sequence[Path], document: Path) -> str:
    """Render tables as they were printed, and pictures by their paths seen from the document."""
    tables = ["```text\n" + "\n".join(text) + "\n```" for text in texts]
    links = [
        f"![{path.stem.partition('-')[2]}]({os.path.relpath(path.resolve(), document.resolve().parent)})"
        for path in pictures
    ]
    return "\n\n".join([*tables, *links])


def rewrite(name: str, content: str, document: Path) -> None:
    """Put new content between the markers of a block.

    Raises:
        ValueError: the document has no such block.
    """
    end = f"<!-- {name}: end -->"
    text, count = re.subn(
        f"(<!-- {re.escape(name)}: written by make [a-z-]+ -->).*?{re.escape(end)}",
        lambda found: f"{found[1]}\n\n{content}\n\n{end}",
        document.read_text(),
        flags=re.DOTALL,
    )
    if count != 1:
        raise ValueError(f"{document.name} has {count} blocks named {name}")
    document.write_text(text)
