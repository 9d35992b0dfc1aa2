"""A command starts quickly: it imports what it needs, and nothing else."""

import subprocess
import sys
from typing import Final

import pytest

from tests.cli.shell import Shell

WEB: Final = {
    *("farebox.http", "farebox.server", "farebox.web"),
    *("httptools", "jinja2", "litestar", "segno", "starlette", "uvloop"),
}
MAIL: Final = {
    "farebox.background",
    "farebox.alerts.dispatcher",
    "farebox.alerts.mail",
    "farebox.alerts.smtp",
    "aiosmtplib",
}
MESSAGES: Final = {"apprise", "babel", "cryptography", "httpcore2", "httpx2"}
"""What messages to people and to destinations take; a server loads it for the first of them."""

SELDOM: Final = {"argon2", "email_validator", "iso4217", "pyotp", "zxcvbn", *MESSAGES}
DRIVERS: Final = {"sqlite": {"asyncpg", "farebox.storage.postgres"}, "postgresql": {"apsw", "farebox.storage.sqlite"}}

SCRIPT: Final = """
import atexit, sys
from farebox.cli.main import main
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
main()
"""


def _imported(shell: Shell, *words: str) -> set[str]:
    """Run a command in a process of its own; return the modules that it imported."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words],
        env={"FAREBOX_DATABASE_URL": shell.database_url},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


def test_help_imports_no_part_of_farebox_but_the_list_of_commands() -> None:
    imported = _imported(Shell("sqlite:///none.db"), "--help")
    assert {"farebox", "farebox.cli", "farebox.cli.main"} == {name for name in imported if name.startswith("farebox")}
    assert set() == imported & (WEB | MAIL | SELDOM | {"apsw", "asyncpg", "asyncio"})


def test_a_command_imports_neither_the_web_nor_mail_nor_another_engines_driver(shell: Shell) -> None:
    imported = _imported(shell, "balance", shell.merchant())
    (driver,) = [modules for engine, modules in DRIVERS.items() if shell.database_url.startswith(engine)]
    assert set() == imported & (WEB | MAIL | SELDOM | driver)


def test_a_server_starts_without_what_messages_take() -> None:
    script = "import farebox.server, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set() == set(done.stdout.split()) & MESSAGES


@pytest.mark.parametrize("words", [("price", "list"), ("outbox", "list"), ("key", "list"), ("staff", "list")])
def test_commands_of_every_kind_start_as_lean(shell: Shell, words: tuple[str, ...]) -> None:
    assert set() == _imported(shell, *words) & (WEB | MAIL | SELDOM)
