"""What the documentation says of reading amounts by a machine's language, as the programs do it."""

from pathlib import Path
from typing import Final

import pytest

from farebox.presenters.merchants import AMOUNT_PROBE
from farebox.web.examples import Example
from tests.languages.programs import Program

# Mono may have to be installed.
pytestmark = pytest.mark.timeout(900)

PARSE: Final = """
using System;
using System.Globalization;

public static class Program
{
    public static void Main(string[] arguments)
    {
        decimal amount;
        decimal.TryParse(arguments[0], out amount);
        var exact = decimal.Parse(arguments[0], CultureInfo.InvariantCulture);
        Console.WriteLine(FormattableString.Invariant($"{amount} {exact}"));
    }
}
"""


@pytest.fixture(scope="module")
def parse(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program(Example("C#", "Parse.cs", PARSE), tmp_path_factory.mktemp("parse"))


@pytest.mark.parametrize(
    ("language", "amount"), [("en_US.UTF-8", "1250.75"), ("de_DE.UTF-8", "125075"), ("fr_FR.UTF-8", "0")]
)
def test_the_probe_finds_out_who_reads_by_the_machines_language(parse: Program, language: str, amount: str) -> None:
    done = parse.run(AMOUNT_PROBE, key="", environment={"LC_ALL": language})
    assert (0, f"{amount} 1250.75\n", "") == (done.returncode, done.stdout, done.stderr)


def test_pages_say_what_is_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "charge-from-any-language.md").read_text(encoding="utf-8")
    assert f'decimal.TryParse("{AMOUNT_PROBE}", out var amount)` makes 125075 of it under `de-DE`' in page
    assert "and 0\nunder `fr-FR`" in page
