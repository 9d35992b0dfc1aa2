"""`farebox`: the group that every command belongs to. A command's module is imported when the command is used."""

from importlib import import_module
from typing import Final

import click


class StandIn(click.Command):
    """A command's place in the list of commands."""

    def __init__(self, name: str, target: str, help: str) -> None:  # noqa: A002 - click's own name for it.
        """Stand in for the command that `module:attribute` names; `help` is the first sentence of its own."""
        super().__init__(name, help=help)
        self._target = target

    def load(self) -> click.Command:
        """Import the command itself."""
        module, _, attribute = self._target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class LazyGroup(click.Group):
    """A group of stand-ins, each of which gives way to its command when that is used."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, StandIn) else command, rest


COMMANDS: Final = (
    StandIn("adjust", "farebox.cli.money:adjust", "Correct a balance by hand; an AMOUNT such as -5.00 takes away."),
    StandIn(
        "approval",
        "farebox.cli.approval:approval_group",
        "Moves of money and credit limits above FAREBOX_APPROVAL_ABOVE, which wait for a second person.",
    ),
    StandIn("audit", "farebox.cli.approval:audit", "List who did what from where, the newest first."),
    StandIn(
        "backup",
        "farebox.cli.ledger:backup",
        "Write a consistent copy of the database to PATH while it is in use (SQLite).",
    ),
    StandIn(
        "balance",
        "farebox.cli.money:balance",
        "Read a merchant's available balance, and what of it was paid and given.",
    ),
    StandIn(
        "copy",
        "farebox.cli.copy:copy",
        "Copy the whole ledger into another database, while it is served if need be, and switch to it.",
    ),
    StandIn(
        "demo",
        "farebox.cli.demo:demo",
        "Run a throw-away Farebox with merchants, prices and traffic; everything is removed at the end.",
    ),
    StandIn(
        "doctor",
        "farebox.cli.doctor.command:doctor",
        "Look at settings, database, disk, clock, mail and proxies, and say what is wrong and what to do.",
    ),
    StandIn(
        "explain",
        "farebox.cli.explain:explain",
        "Explain a transfer: what was requested, at which price, and how its amount came about.",
    ),
    StandIn(
        "gate",
        "farebox.cli.gate:gate_group",
        "The gate, which proxies ask before they let a request through to an API.",
    ),
    StandIn(
        "grant",
        "farebox.cli.grants:grant_group",
        "Given credit: money in a balance that was not paid for, and may end.",
    ),
    StandIn("hold", "farebox.cli.holds:hold_group", "Holds: money that is set aside for work under way."),
    StandIn(
        "import",
        "farebox.cli.imports.ledger:import_",
        "Bring merchants, their balances, prices and keys over from another system; the same again changes nothing.",
    ),
    StandIn("init", "farebox.cli.ledger:init", "Create the database, or bring it up to date; safe to repeat."),
    StandIn(
        "key",
        "farebox.cli.keys:key_group",
        "API keys: a merchant's reads its account, a service's charges, support's administers.",
    ),
    StandIn("mail", "farebox.cli.mail:mail_group", "What mails look like, in each language and with your templates."),
    StandIn("merchant", "farebox.cli.merchants:merchant_group", "Add merchants, look at them, change them."),
    StandIn(
        "outbox", "farebox.cli.ledger:outbox_group", "The mails that are owed: what was sent, what waits, and why."
    ),
    StandIn("price", "farebox.cli.prices:price_group", "Prices of request types: defaults, and merchants' own."),
    StandIn(
        "refusals",
        "farebox.cli.refusals:refusals",
        "Count a merchant's charges and holds that were refused, by type and reason.",
    ),
    StandIn(
        "report",
        "farebox.cli.report_mails:report_group",
        "Reports: the revenue of all merchants in a month, and the weekly and monthly ones that people get by mail.",
    ),
    StandIn("reverse", "farebox.cli.money:reverse", "Take a top-up back, or a part of it: a payment that bounced."),
    StandIn("secrets", "farebox.cli.secrets:secrets_group", "Secrets that FAREBOX_SECRET_KEY guards."),
    StandIn(
        "serve", "farebox.cli.serving.serve:serve", "Serve the API, send mails and expire holds, until told to stop."
    ),
    StandIn(
        "settle",
        "farebox.cli.settle:settle",
        "Capture, release and refund what the gate held and charged, as a proxy's access log tells.",
    ),
    StandIn(
        "shortfalls",
        "farebox.cli.shortfalls:shortfalls",
        "List transfers that took less than was due, the newest first.",
    ),
    StandIn("staff", "farebox.cli.staff:staff_group", "Support staff: who may sign in at the console."),
    StandIn(
        "statement",
        "farebox.cli.statement:statement",
        "Print a merchant's book, newest first; with --json, oldest first as lines that verify-statement checks.",
    ),
    StandIn("topup", "farebox.cli.money:topup", "Add money that a merchant has paid."),
    StandIn("usage", "farebox.cli.money:usage", "Print what each request type came to."),
    StandIn(
        "user",
        "farebox.cli.users:user_group",
        "The people who are told when a merchant's balance runs low, and who may sign in.",
    ),
    StandIn("verify", "farebox.cli.ledger:verify", "Replay the whole ledger: books, balances, hashes, holds."),
    StandIn(
        "verify-statement",
        "farebox.cli.statement:verify_statement",
        "Check statements that were exported with --json: nothing changed, dropped, repeated or reordered; it adds up.",
    ),
    StandIn(
        "webhook",
        "farebox.cli.messages.destinations:webhook_group",
        "Webhooks and chats: where a server, or a channel of people, is told what happens.",
    ),
)


@click.group(
    cls=LazyGroup,
    commands=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="farebox")
def cli() -> None:
    """Prepaid balances for pay-per-request APIs.

    Settings come from the environment (FAREBOX_DATABASE_URL and so on) and from farebox.toml; see
    docs/reference/settings.md.
    """


def main() -> None:
    """Run the command line."""
    cli(prog_name="farebox")
