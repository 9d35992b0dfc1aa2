"""Routes of pages: where each page is, who may see it, and what answers reading it and posting to it."""

from collections.abc import Awaitable, Callable
from enum import Enum

from msgspec import Struct
from starlette.responses import Response

from farebox.core.permissions import Operation
from farebox.web.pages.forms import FORM_BYTES_MAX
from farebox.web.pages.request import PageRequest

PageHandler = Callable[[PageRequest], Awaitable[Response]]


class Audience(Enum):
    """The people for whom a page is."""

    ANYONE = "anyone"
    USER = "who is signed in as a merchant's user"
    VIEWER = "the merchant's users, and support to look"
    MEMBER = "the merchant's members and owners"
    OWNER = "the merchant's owners"
    SUPPORT = "support"


class PageRoute(Struct, frozen=True):
    """One page.

    `posts` names the audience that may post to it, if that is another than the one that sees it. Of the console, staff
    whose roles let them do `operation` may post, and all may see it but `is_form`, a page that is there for that alone.
    A form that makes something, or that can't be taken back, `is_done_once` however often it is sent: it carries a
    once-token. An open page asks for some others by itself, which keeps nobody signed in: those are not `is_use` of a
    session. A form has `form_bytes_max` bytes at most, and carries a file only if `is_file_taken`.
    """

    path: str
    sees: Audience
    get: PageHandler | None = None
    post: PageHandler | None = None
    posts: Audience | None = None
    is_console: bool = False
    operation: Operation = Operation.READ
    is_form: bool = False
    is_use: bool = True
    is_done_once: bool = False
    is_file_taken: bool = False
    form_bytes_max: int = FORM_BYTES_MAX
