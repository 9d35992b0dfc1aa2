"""`farebox mail preview`: a sample of every mail as files, with the operator's own name, logo and templates."""

import base64
import zlib
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Final

import pytest

from farebox.alerts.samples.alerts import sample_name
from farebox.core.alerts import FOR_THE_OPERATOR, AlertKind
from tests.cli.shell import Shell

LOGO: Final = b"\x89PNG\r\n\x1a\n" + zlib.compress(b"a picture")
NAMES: Final = [sample_name(kind) for kind in AlertKind if not FOR_THE_OPERATOR >> kind & 1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where samples go, beside the operator's files."""
    (tmp_path / "logo.png").write_bytes(LOGO)
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "layout.txt").write_text("{{ operator }} says:\n{% block content %}{% endblock %}")
    return tmp_path / "samples"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with an operator's settings for mails."""
    return Shell(
        f"sqlite:///{tmp_path / 'farebox.db'}",
        settings={
            "FAREBOX_OPERATOR_NAME": "Skyline APIs",
            "FAREBOX_LOGO_FILE": str(tmp_path / "logo.png"),
            "FAREBOX_TEMPLATES": str(tmp_path / "templates"),
            "FAREBOX_PUBLIC_URL": "https://pay.skyline.example",
            "FAREBOX_SUPPORT_CONTACT": "billing@skyline.example",
        },
    )


def test_every_kind_of_alert_is_written_by_the_operators_own_files(shell: Shell, folder: Path) -> None:
    data = shell.json("mail", "preview", str(folder), "--language", "pt")
    assert [] == data["problems"]
    assert set(NAMES) < set(data["mails"])
    source = f"data:image/png;base64,{base64.b64encode(LOGO).decode()}"
    for name in data["mails"]:
        message = message_from_bytes((folder / f"{name}.eml").read_bytes(), policy=default)
        assert "pt" == message["Content-Language"]
        assert "Skyline APIs" == message["From"].addresses[0].display_name
        assert (folder / f"{name}.txt").read_text().startswith("Skyline APIs says:\n"), name
        html = (folder / f"{name}.html").read_text()
        assert source in html, name
        assert "cid:" not in html, name


def test_one_page_shows_all_of_them(shell: Shell, folder: Path) -> None:
    done = shell.ok("mail", "preview", str(folder))
    assert f"written to {folder}; {folder / 'index.html'} shows all of them." in done.out
    page = (folder / "index.html").read_text()
    assert [] == [name for name in NAMES if f'<iframe title="{name}"' not in page]


def test_a_file_that_cant_be_used_is_told_of_and_the_mails_are_written_all_the_same(shell: Shell, folder: Path) -> None:
    (folder.parent / "templates" / "alert.html").write_text("{{ nothing }}")
    done = shell.run("mail", "preview", str(folder))
    assert 1 == done.status
    assert "alert.html fails in line 1: 'nothing' is undefined; the built-in one is used" in done.out
    assert (folder / "frozen.html").exists()


def test_a_folder_that_cant_be_written_is_named(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.write_text("")
    done = shell.run("mail", "preview", str(file / "samples"))
    assert (2, f"farebox: {file / 'samples'}: Not a directory\n") == (done.status, done.err)
    (tmp_path / "taken" / "index.html").mkdir(parents=True)
    done = shell.run("mail", "preview", str(tmp_path / "taken"), "--json")
    assert (2, True) == (done.status, "unwritable_folder" in done.out + done.err)
