"""What it comes to to confirm or close an account of the staff, or to do without its one-time codes."""

from typing import Final

from farebox.core.staff_roles import roles_in_words
from farebox.service.people.users import Login
from farebox.web.pages.preview import Preview
from farebox.web.pages.render import clock_time
from farebox.web.pages.request import PageRequest

ROOT: Final = "/support/staff"


def confirmation(request: PageRequest, login: Login) -> Preview:
    """Tell what it comes to to say that an account is a person of its own."""
    return Preview(
        action=f"{ROOT}/confirm",
        back=ROOT,
        question=f"Is {login.name} a person of their own?",
        facts=[
            *_facts(request, login),
            ("From then on", "they may approve what the one who added them asks for, as far as their role goes"),
            ("Taking it back", "is not possible; the account can be closed"),
        ],
        button=f"Confirm {login.name}",
        fields={"staff": login.email},
        notice="Confirm only somebody whom you know, and who has this address.",
        is_done_once=True,
    )


def closing(request: PageRequest, login: Login, *, keys_count: int) -> Preview:
    """Tell what it comes to to close an account, whose owner made this many keys that work."""
    keys = f"{keys_count:,} go on working" if keys_count > 1 else "one goes on working" if keys_count else ""
    is_own = login.login_id == request.login.login_id
    return Preview(
        action=f"{ROOT}/close",
        back=ROOT,
        question=f"Close the account of {login.name}?",
        facts=[
            *_facts(request, login),
            ("From then on", "they are signed out, and can't sign in here any more"),
            ("Keys that they made", f"{keys}, until somebody revokes them under Keys" if keys else "none that work"),
            ("Taking it back", "the account can be opened again"),
        ],
        button="" if is_own else f"Close the account of {login.name}",
        fields={"staff": login.email},
        notice="This is you; another administrator has to close your account." if is_own else "",
        is_danger=True,
        is_done_once=True,
    )


def removal_of_codes(request: PageRequest, login: Login) -> Preview:
    """Tell what it comes to to ask somebody for no one-time codes any more."""
    is_own = login.login_id == request.login.login_id
    return Preview(
        action=f"{ROOT}/codes",
        back=ROOT,
        question=f"Ask {login.name} for no one-time codes any more?",
        facts=[
            *_facts(request, login),
            ("From then on", "their password alone lets them in"),
            ("Taking it back", "they can set codes up again on their profile; nobody can do it for them"),
        ],
        button="" if is_own else f"Remove the codes of {login.name}",
        fields={"staff": login.email},
        notice="Remove your own codes on your profile, with your password."
        if is_own
        else "Do this only if you know that it is they who ask, and not somebody who has their password.",
        is_danger=True,
        is_done_once=True,
    )


def _facts(request: PageRequest, login: Login) -> list[tuple[str, str]]:
    """Tell whose account it is."""
    signed_in_at = login.signed_in_at
    return [
        ("Address", login.email),
        ("Role", roles_in_words(login.roles)),
        ("Last signed in", "never" if signed_in_at is None else clock_time(signed_in_at, request.zone)),
    ]
