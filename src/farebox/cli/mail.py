"""Commands about mails: what they look like, with the operator's own templates, name and logo."""

from email.message import EmailMessage
from pathlib import Path

import click

from farebox.alerts.samples import sample_mails
from farebox.background import make_mail_settings
from farebox.cli.context import FAILED, add_json_option, answer, counted, guarded
from farebox.config import Settings
from farebox.service.languages import LANGUAGE_NAMES, language


@click.group("mail")
def mail_group() -> None:
    """What mails look like, in each language and with your templates."""


@mail_group.command("preview")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--language", "code", type=click.Choice(list(LANGUAGE_NAMES)), help="FAREBOX_LANGUAGE unless told otherwise."
)
def mail_preview(folder: Path, code: str | None, *, is_json: bool) -> None:
    """Write a sample of every mail into FOLDER; exits with 1 if a file of yours can't be used."""

    def preview() -> None:
        settings = Settings.load()
        mail_settings, problems = make_mail_settings(settings)
        folder.mkdir(parents=True, exist_ok=True)
        names = []
        for sample in sample_mails(mail_settings, language(code or settings.language)):
            _write(folder, sample.name, sample.message)
            names.append(sample.name)
        data = {"folder": str(folder), "mails": names, "problems": list(problems)}
        lines = [
            f"{counted(len(names), 'mail')} written to {folder}.",
            *(f"farebox: warning: {text}" for text in problems),
        ]
        answer(data, lines, is_json=is_json)
        if problems:
            raise SystemExit(FAILED)

    guarded(preview, is_json=is_json)


def _write(folder: Path, name: str, message: EmailMessage) -> None:
    (folder / f"{name}.eml").write_bytes(message.as_bytes())
    for kind, end in (("plain", "txt"), ("html", "html")):
        part = message.get_body((kind,))
        if part is None:
            raise LookupError(f"the mail has no {kind} text")
        (folder / f"{name}.{end}").write_text(part.get_content().replace("\r\n", "\n"), encoding="utf-8")


add_json_option(mail_preview)
