"""Mails in a folder, where no mail server is set."""

import os
import stat
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from msgspec.structs import replace

from farebox.alerts.alert_mail import alert_message
from farebox.alerts.transport import FolderTransport, TransientFailure
from tests.alerts.mailserver import composed
from tests.alerts.test_messages import MAIL_SETTINGS, a_subject, text_of


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("email", ["ann@example.com", "jürgen@bücher.example"])
async def test_a_mail_is_one_file_that_mail_programs_read(tmp_path: Path, email: str) -> None:
    folder = tmp_path / "deep" / "mail"
    message = alert_message(a_subject(email=email), MAIL_SETTINGS)
    await FolderTransport(folder).send(composed(message), email)
    (name,) = files_in(folder)
    assert "alert_38RRBH800000700000001.user_0000000000007.eml" == name
    read = message_from_bytes((folder / name).read_bytes(), policy=default)
    assert dict(message.items()) == dict(read.items())
    assert text_of(message) == text_of(read)


async def test_a_mail_that_is_sent_again_replaces_its_twin(tmp_path: Path) -> None:
    folder = FolderTransport(tmp_path)
    subject = a_subject()
    await folder.send(composed(alert_message(subject, MAIL_SETTINGS)), "ann@example.com")
    later = replace(subject, runway="about 2 days")
    await folder.send(composed(alert_message(later, MAIL_SETTINGS)), "ann@example.com")
    another = replace(subject, mail=replace(subject.mail, recipient_id=8))
    await folder.send(composed(alert_message(another, MAIL_SETTINGS)), "ann@example.com")
    names = files_in(tmp_path)
    assert 2 == len(names)
    assert "about 2 days" in text_of(message_from_bytes((tmp_path / names[0]).read_bytes(), policy=default))


async def test_a_message_id_can_not_leave_the_folder(tmp_path: Path) -> None:
    message = alert_message(a_subject(), MAIL_SETTINGS)
    del message["Message-ID"]
    message["Message-ID"] = "<../../alert/1@example.com>"
    await FolderTransport(tmp_path / "mail").send(composed(message), "ann@example.com")
    assert (["mail"], [".._.._alert_1.eml"]) == (files_in(tmp_path), files_in(tmp_path / "mail"))


async def test_a_mail_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(TransientFailure, match="the mail folder takes no files: No space left"):
        await FolderTransport(tmp_path).send(composed(alert_message(a_subject(), MAIL_SETTINGS)), "ann@example.com")
    assert [] == list(tmp_path.glob("*.eml"))


async def test_a_folder_that_can_not_be_made_may_be_mended(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file is in the way")
    with pytest.raises(TransientFailure, match="the mail folder takes no files: "):
        await FolderTransport(tmp_path / "mail").send(
            composed(alert_message(a_subject(), MAIL_SETTINGS)), "ann@example.com"
        )


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o177], ids=oct)
async def test_the_folder_and_its_mails_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    # A folder from before may be open to others.
    (tmp_path / "old").mkdir(mode=0o755)
    before = os.umask(umask)
    try:
        for folder in (tmp_path / "old", tmp_path / "new"):
            await FolderTransport(folder).send(composed(alert_message(a_subject(), MAIL_SETTINGS)), "ann@example.com")
            (mail,) = folder.iterdir()
            assert (0o700, 0o600) == (stat.S_IMODE(folder.stat().st_mode), stat.S_IMODE(mail.stat().st_mode))
    finally:
        os.umask(before)
