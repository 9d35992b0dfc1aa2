"""Who makes a key or invites somebody: the people whom that counts as, found in the transaction that writes it."""

from farebox.core.people import COMMAND_LINE, UNKNOWN, People, account_people, read_people
from farebox.storage.interface import Fetch
from farebox.storage.records import Maker
from farebox.storage.sql import NamedStatements


async def people_of(fetch: Fetch, statements: NamedStatements, maker: Maker) -> People:
    """Tell whom a maker counts as at this moment; one that is not there is unknown."""
    if maker.login_id is not None:
        rows = await fetch(statements["login_counts_as"], maker.login_id)
        return account_people(maker.login_id, rows[0][0]) if rows else frozenset({UNKNOWN})
    if maker.digest is not None:
        rows = await fetch(statements["find_staff_key"], maker.digest)
        return read_people(rows[0][-1]) if rows else frozenset({UNKNOWN})
    return frozenset({COMMAND_LINE})
