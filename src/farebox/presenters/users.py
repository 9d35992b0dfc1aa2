"""A user of a merchant, and a member of the operator's staff."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.staff_roles import StaffRoleWord, role_words
from farebox.presenters.fields import Email, Time, id_schema, time_or_none
from farebox.service import inputs
from farebox.service.operator.merchants import User
from farebox.service.people.choices import mailed_types
from farebox.service.people.users import ROLE_WORDS, Login, Role
from farebox.service.people.warnings import warned_types

UserId = Annotated[
    str, Meta(description="The person's id.", examples=["user_01K9ABCDEFGHJ"], extra_json_schema=id_schema("user_"))
]


class UserData(Struct, frozen=True, rename="camel"):
    """A person registered on a merchant's account, who gets its alerts."""

    user_id: UserId
    email: Email
    created_at: Time
    role: Annotated[
        Literal["owner", "member", "viewer"],
        Meta(description="What the person may do on the dashboard.", examples=["owner"]),
    ]
    mailed: Annotated[
        list[str],
        Meta(
            description="The events that the person is mailed about.", examples=[["balance.low", "balance.exhausted"]]
        ),
    ]


class StaffData(Struct, frozen=True, rename="camel"):
    """Somebody who may sign in at the console, or once might."""

    email: Email
    name: str
    state: Literal["invited", "open", "closed"]
    has_codes: bool
    is_confirmed: Annotated[
        bool, Meta(description="Whether it is a person of its own, or counts as who invited it.", examples=[True])
    ]
    created_at: Time
    signed_in_at: Time | None
    roles: list[StaffRoleWord]
    warned: Annotated[
        list[str], Meta(description="The events that they are warned of by mail.", examples=[["spending.unusual"]])
    ]


def user_role(role: int) -> Literal["owner", "member", "viewer"]:
    """Name what a user may do on an account."""
    return ROLE_WORDS[Role(role)]


def user_data(user: User) -> UserData:
    """Tell of a user of a merchant."""
    return UserData(
        user_id=ids.public_id(ids.USER, user.user_id),
        email=user.email,
        created_at=inputs.format_time(user.created_at),
        role=user_role(user.role),
        mailed=mailed_types(user),
    )


def staff_data(login: Login) -> StaffData:
    """Tell of a member of the staff."""
    return StaffData(
        email=login.email,
        name=login.name,
        state=staff_state(login),
        has_codes=login.totp_seed is not None,
        is_confirmed=not login.counts_as,
        created_at=inputs.format_time(login.created_at),
        signed_in_at=time_or_none(login.signed_in_at),
        roles=role_words(login.roles),
        warned=warned_types(login),
    )


def staff_state(login: Login) -> Literal["invited", "open", "closed"]:
    """Tell whether a member of the staff may sign in."""
    if login.disabled_at is not None:
        return "closed"
    return "invited" if login.password_hash is None else "open"
