"""The reports that people get by mail, written at the command line: printed, saved as a page, and sent once."""

from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from farebox.config import CONFIG_FILE
from tests.cli.shell import Shell


def _merchant(shell: Shell) -> str:
    shell.ok("init")
    merchant = shell.merchant()
    shell.ok("topup", merchant, "25", "--reference", "INV-1")
    return merchant


def test_a_merchants_week_is_printed(shell: Shell) -> None:
    merchant = _merchant(shell)
    out = shell.ok("report", "weekly", "--merchant", merchant, "--date", "2026-11-25").out
    assert out.startswith("Acme\n23 November 2026 to 29 November 2026\n\nSpent: 0.00 USD\n")
    assert "Nothing was spent the week before either." in out
    assert "Now the balance is 25.00 USD" in out
    sunday = shell.ok("report", "weekly", "--merchant", merchant, "--date", "2026-11-25", "--week-start", "7").out
    assert "22 November 2026 to 28 November 2026" in sunday


def test_all_merchants_months_are_printed_and_told_to_programs(shell: Shell) -> None:
    _merchant(shell)
    assert "Who runs out" in shell.ok("report", "monthly").out
    data = shell.json("report", "monthly", "--date", "2026-02-03", "--zone", "Europe/Berlin")
    assert ("2026-02-01", "2026-02-28", "Europe/Berlin") == (data["from"], data["to"], data["timeZone"])
    assert "All merchants: February 2026" == data["title"]
    assert data["text"].startswith("All merchants\nFebruary 2026")


def test_a_report_is_saved_as_a_page_that_needs_nothing_else(shell: Shell, tmp_path: Path) -> None:
    merchant, page = _merchant(shell), tmp_path / "report.html"
    out = shell.ok("report", "monthly", "--merchant", merchant, "--html", str(page)).out
    assert f"Written to {page}." == out.strip()
    text = page.read_text(encoding="utf-8")
    assert "data:image/png;base64," in text
    assert "cid:" not in text


def test_the_operators_logo_is_within_the_page(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logo, page = tmp_path / "logo.jpeg", tmp_path / "report.html"
    logo.write_bytes(b"\xff\xd8\xff" + bytes(8))
    (tmp_path / CONFIG_FILE).write_text(f"logo_file = '{logo}'\n")
    monkeypatch.chdir(tmp_path)
    merchant = _merchant(shell)
    shell.ok("report", "weekly", "--merchant", merchant, "--html", str(page))
    text = page.read_text(encoding="utf-8")
    assert 'src="data:image/jpeg;base64,/9j/AAAAAAAAAAA="' in text
    assert 'src="data:image/png;base64,' in text
    assert "cid:" not in text


def test_a_report_is_sent_once_to_whom_one_likes(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    merchant = _merchant(shell)
    words = ("report", "weekly", "--merchant", merchant, "--statement", "--send-to", "cfo@northwind.example")
    assert "Sent to cfo@northwind.example." == shell.ok(*words).out.strip()
    (file,) = (tmp_path / "mail").glob("*.eml")
    message = message_from_bytes(file.read_bytes(), policy=default)
    assert "cfo@northwind.example" == message["To"]
    assert {"text/plain", "text/html", "image/png"} <= {part.get_content_type() for part in message.walk()}
    assert "cfo@" not in shell.ok("outbox", "list").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--date", "tomorrow"), "date: "),
        (("--date", "2199-01-01"), "this has not begun yet"),
        (("--zone", "Mars/Phobos"), "is not a time zone"),
        (("--send-to", "nobody"), "send-to: "),
        (("--merchant", "mer_0000000000001"), "no merchant"),
        (("--merchant", "northwind"), "is not a merchant id"),
    ],
)
def test_what_can_not_be_reported_is_told(shell: Shell, words: tuple[str, ...], message: str) -> None:
    shell.ok("init")
    assert message.lower() in shell.run("report", "weekly", *words).err.lower()
