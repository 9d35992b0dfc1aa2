"""The command that lets an old secret key go."""

import click

from farebox.cli.context import FAILED, CommandContext, command, counted
from farebox.core import ids
from farebox.service.people.destination_secrets import DestinationSecrets
from farebox.service.people.rotation import Rotation
from farebox.service.people.signing import Signer


@click.group("secrets")
def secrets_group() -> None:
    """Secrets that FAREBOX_SECRET_KEY guards."""


@command("rotate", group=secrets_group)
async def rotate(context: CommandContext) -> None:
    """Write with the first of the secret keys what was written with others; exits with 1 if none of them reads it."""
    farebox = context.farebox
    keys = farebox.settings.secret_key.keys
    rotated = await Rotation(farebox.stores, Signer(*keys), DestinationSecrets(*keys)).rotate()
    unreadable = [ids.public_id(ids.DESTINATION, number) for number in rotated.unreadable]
    written = (
        f"{counted(rotated.destinations, 'secret')} of destinations and {rotated.one_time_codes} of one-time codes "
        "were written anew with the first key."
    )
    lost = [f"None of the keys reads what {each} keeps secret: make it a new one." for each in unreadable]
    data = {
        "keys": len(keys),
        "destinations": rotated.destinations,
        "oneTimeCodes": rotated.one_time_codes,
        "unreadable": unreadable,
    }
    context.answer(data, [written, *lost])
    if unreadable:
        raise SystemExit(FAILED)
