"""`farebox`: the group that every command belongs to."""

import click

from farebox.cli import admin, approval, demo, ledger, money, serve, staff, statement


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="farebox")
def cli() -> None:
    """Prepaid balances for pay-per-request APIs.

    Settings come from the environment (FAREBOX_DATABASE_URL and so on) and from farebox.toml; see
    docs/reference/settings.md.
    """


for room in (ledger, serve, demo, admin, money, statement, approval, staff):
    for member in room.COMMANDS:
        cli.add_command(member)


def main() -> None:
    """Run the command line."""
    cli(prog_name="farebox")
