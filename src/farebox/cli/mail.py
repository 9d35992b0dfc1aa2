"""Commands about mails: what they look like, with the operator's own templates, name and logo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from farebox.alerts.samples.mails import Sample, sample_mails
from farebox.alerts.samples.pages import opened_page, overview_page
from farebox.background import make_mail_settings
from farebox.cli.context import FAILED, MISUSED, add_json_option, answer, counted, fail, guarded
from farebox.config import Settings
from farebox.service.languages import LANGUAGE_NAMES, language

OVERVIEW: Final = "index.html"
"""The page that shows all samples."""


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
        samples = list(sample_mails(mail_settings, language(code or settings.language)))
        try:
            _write_all(folder, samples)
        except OSError as error:
            fail("unwritable_folder", f"{folder}: {error.strerror or error}", MISUSED, is_json=is_json)
        data = {"folder": str(folder), "mails": [sample.name for sample in samples], "problems": list(problems)}
        lines = [
            f"{counted(len(samples), 'mail')} written to {folder}; {folder / OVERVIEW} shows all of them.",
            *(f"farebox: warning: {text}" for text in problems),
        ]
        answer(data, lines, is_json=is_json)
        if problems:
            raise SystemExit(FAILED)

    guarded(preview, is_json=is_json)


def _write_all(folder: Path, samples: Sequence[Sample]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for sample in samples:
        _write(folder, sample)
    (folder / OVERVIEW).write_text(overview_page(samples), encoding="utf-8")


def _write(folder: Path, sample: Sample) -> None:
    plain = sample.message.get_body(("plain",))
    if plain is None:
        raise LookupError("the mail has no plain text")
    (folder / f"{sample.name}.eml").write_bytes(sample.message.as_bytes())
    (folder / f"{sample.name}.txt").write_text(plain.get_content().replace("\r\n", "\n"), encoding="utf-8")
    (folder / f"{sample.name}.html").write_text(opened_page(sample.message), encoding="utf-8")


add_json_option(mail_preview)
