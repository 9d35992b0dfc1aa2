"""The reference that is written from the code is what the code says now."""

import re
from collections.abc import Iterator

import click
import pytest

from farebox.cli.main import StandIn, cli
from farebox_client import errors
from tests.docs.pages import pages
from tests.tidy.files import ROOT
from tools import reference


@pytest.mark.parametrize("page", reference.PAGES)
def test_the_reference_is_up_to_date(page: str) -> None:
    assert reference.PAGES[page]() == (reference.FOLDER / page).read_text(encoding="utf-8"), "run `make reference`"


def test_outcomes_are_those_that_the_api_names() -> None:
    """The overview of the API has the same names, with the same statuses."""
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d{3}) \| (`[a-z_`, ]+) \|", page, re.MULTILINE)
    named = {name: int(status) for status, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert named == {name: status for name, status in _statuses().items() if name in named}
    assert _statuses().keys() == errors.BY_CODE.keys() - {"unreachable", "unexpected_answer"}


def _statuses() -> dict[str, int]:
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", reference.outcomes(), re.MULTILINE)
    return {name: int(status) for name, status in rows}


def _commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, StandIn):
            command = command.load()
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix}{name} ")
        elif command is not None:
            yield prefix + name, command


def test_commands_have_a_row_with_all_their_options() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `farebox ")]
    missing = []
    for name, command in _commands(cli):
        own = [row for row in rows if re.search(rf"`farebox {re.escape(name)}(?![\w-])", row)]
        options = {param.opts[-1] for param in command.params if isinstance(param, click.Option) and not param.hidden}
        missing += [
            f"{name} {option}" for option in options - {"--json", "--help"} if not any(option in row for row in own)
        ]
        missing += [] if own else [name]
    assert [] == missing


def test_commands_that_pages_name_are_there() -> None:
    """Also those within a sentence, and their options."""
    commands = {name.split()[0]: set[str]() for name, _ in _commands(cli)}
    options: dict[str, set[str]] = {}
    for name, command in _commands(cli):
        first, _, second = name.partition(" ")
        commands[first] |= {second} - {""}
        options[name] = {option for param in command.params for option in param.opts + param.secondary_opts}
    wrong = []
    for page in pages():
        for words in re.findall(r"`farebox ([a-z][^`]*)`", page.read_text(encoding="utf-8").replace("\n", " ")):
            first, *rest = words.replace("\\|", "|").split()
            if first not in commands or (
                commands[first] and rest and rest[0].isalpha() and rest[0] not in commands[first]
            ):
                wrong.append(f"{page.relative_to(ROOT)}: farebox {words}")
                continue
            known = options.get(f"{first} {rest[0]}" if commands[first] and rest else first)
            if known is None:
                continue
            wrong += [
                f"{page.relative_to(ROOT)}: farebox {words}: {word}"
                for word in re.findall(r"(?<![\w-])--[a-z-]+", words)
                if word not in known and word != "--help"
            ]
    assert [] == wrong
