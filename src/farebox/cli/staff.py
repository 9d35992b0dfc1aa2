"""Commands for those who sign in at the support console; the first of them can be let in from here alone."""

from typing import Any, Final

import click

from farebox.cli.context import Session, command, short_time, table, time_or_none
from farebox.service.people.users import Login
from farebox.storage.rows import Letter


@click.group("staff")
def staff_group() -> None:
    """Support staff: who may sign in at the console."""


@command("add", group=staff_group)
@click.argument("email")
@click.option("--name", required=True, help="What to call them.")
async def staff_add(session: Session, email: str, name: str) -> None:
    """Let somebody sign in; prints the link by which they choose a password, and a running server mails it."""
    login, letter = await session.farebox.staff.add(email, name, actor=session.actor)
    answer_link(session, letter, _data(login))


@command("list", group=staff_group)
async def staff_list(session: Session) -> None:
    """List support staff, those who are closed included."""
    staff = await session.farebox.staff.list()
    rows = [
        (
            login.email,
            login.name,
            _state(login),
            "" if login.signed_in_at is None else short_time(login.signed_in_at),
            "" if login.totp_seed is None else "yes",
        )
        for login in staff
    ]
    session.answer(
        [_data(login) for login in staff],
        table(("address", "name", "state", "last signed in (UTC)", "one-time codes"), rows)
        or ["Nobody may sign in at the console yet; add somebody with: farebox staff add EMAIL --name NAME"],
    )


@command("close", group=staff_group)
@click.argument("email")
async def staff_close(session: Session, email: str) -> None:
    """Let somebody sign in no more, and sign them out."""
    await session.farebox.staff.close(email, actor=session.actor)
    session.answer({"email": email, "isClosed": True}, f"{email} can't sign in any more.")


@command("reopen", group=staff_group)
@click.argument("email")
async def staff_reopen(session: Session, email: str) -> None:
    """Let somebody sign in again."""
    await session.farebox.staff.reopen(email, actor=session.actor)
    session.answer({"email": email, "isClosed": False}, f"{email} can sign in again.")


@command("link", group=staff_group)
@click.argument("email")
async def staff_link(session: Session, email: str) -> None:
    """Print a new link by which somebody chooses a password; a running server mails it as well."""
    answer_link(session, await session.farebox.staff.invite_again(email, actor=session.actor), {})


@command("remove-codes", group=staff_group)
@click.argument("email")
async def staff_remove_codes(session: Session, email: str) -> None:
    """Ask somebody who lost their authenticator for no one-time codes any more."""
    await session.farebox.staff.remove_codes(email, actor=session.actor)
    session.answer({"email": email, "hasCodes": False}, f"{email} signs in without one-time codes.")


def answer_link(session: Session, letter: Letter, data: dict[str, Any]) -> None:
    """Print a letter's link, which is good once; the database keeps no text of it."""
    public_url = session.farebox.settings.public_url.rstrip("/")
    link = f"{public_url}/link/{session.farebox.sign_in.link_text(letter)}"
    session.answer(
        {**data, "email": letter.email, "link": link, "expiresAt": time_or_none(letter.expires_at)},
        [
            link,
            f"By it {letter.email} chooses a password. It is good once, until {short_time(letter.expires_at)} UTC.",
        ],
    )


def _data(login: Login) -> dict[str, Any]:
    return {
        "email": login.email,
        "name": login.name,
        "state": _state(login),
        "hasCodes": login.totp_seed is not None,
        "createdAt": time_or_none(login.created_at),
        "signedInAt": time_or_none(login.signed_in_at),
    }


def _state(login: Login) -> str:
    if login.disabled_at is not None:
        return "closed"
    return "invited" if login.password_hash is None else "open"


COMMANDS: Final = (staff_group,)
