"""Makes and verifies the ledger of another checkout, by that one's own code: its Python runs this file as a script.

    python -P peer.py seed URL MERCHANTS     make the workload's merchants; prints them and what the ledger runs on
    python -P peer.py verify URL             replay every book; prints what was charged

`benchmarks` and `farebox` are those of the checkout that PYTHONPATH names, so this uses only what has long been there.
"""

import asyncio
import sys

import msgspec

from benchmarks import ledgers
from benchmarks.workload import populate


async def main(what: str, url: str, *merchants: str) -> None:
    """Do what is asked, and print it as JSON."""
    async with ledgers.opened(url) as farebox:
        if what == "seed":
            facts = await ledgers.facts(farebox)
            population = await populate(farebox, int(merchants[0]))
            answer = {"population": population, "facts": facts}
        else:
            answer = {"verified": await ledgers.verify(farebox)}
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
