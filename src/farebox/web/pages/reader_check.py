"""Long answers to a reader who may be signed out, or removed from the account, while they are read."""

from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from farebox.service.errors import Forbidden, ServiceError
from farebox.service.people.users import Realm
from farebox.web.long_answers import while_allowed
from farebox.web.pages import render
from farebox.web.pages.request import PageRequest


async def is_over(request: PageRequest) -> bool:
    """Tell whether the reader has been signed out or removed."""
    try:
        realm = Realm(request.login.realm)
        signed_in = await request.services.sign_in.authenticate(request.required_signed_in.token, realm, is_use=False)
        if signed_in is None:
            return True
        return (
            request.role is not None
            and await request.services.users.role(request.merchant_id, signed_in.login.email) is None
        )
    except ServiceError:
        return False


class Download(StreamingResponse):
    """A file that is made while it is read; it is cut off, without an end, when its reader may not read it any more."""

    def __init__(self, request: PageRequest, pieces: AsyncIterator[bytes], *, name: str, media_type: str) -> None:
        """Answer a request with these pieces, to be kept under this name."""

        async def ensure_reading() -> None:
            if await is_over(request):
                raise Forbidden

        super().__init__(
            while_allowed(pieces, ensure_reading), media_type=media_type, headers=render.file_headers(name)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the pieces."""
        try:
            await super().__call__(scope, receive, send)
        except Forbidden:
            return
