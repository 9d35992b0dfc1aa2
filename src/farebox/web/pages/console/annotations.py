"""Tags and notes of a merchant, which the staff write for each other."""

from functools import partial
from typing import Final

from starlette.responses import Response

from farebox.core import ids
from farebox.core.permissions import Operation
from farebox.service import inputs
from farebox.service.errors import ServiceError
from farebox.web.pages.console.common import CURSOR, MERCHANT, merchant_of, merchant_page, merchant_url
from farebox.web.pages.paging import cut
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

ROWS: Final = 50


class AnnotationPages:
    """What the staff wrote about a merchant."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(
                f"{MERCHANT}/notes",
                Audience.SUPPORT,
                get=self.show,
                post=self.note,
                is_console=True,
                operation=Operation.ANNOTATE,
                is_done_once=True,
            ),
            PageRoute(
                f"{MERCHANT}/tags", Audience.SUPPORT, post=self.tag, is_console=True, operation=Operation.ANNOTATE
            ),
        ]

    async def show(self, request: PageRequest) -> Response:
        """List the notes, newest first."""
        return await self._page(request)

    async def note(self, request: PageRequest) -> Response:
        """Note something."""
        number, annotations = merchant_of(request), request.services.annotations
        make = partial(annotations.note, number, request.form.text("text"), principal=request.principal)
        try:
            made = await request.make_once(make, partial(annotations.made, number))
        except ServiceError as error:
            request.form.fail(error)
            return await self._page(request, 422)
        again = ["sent_twice"] if made.is_replay else []
        return request.redirect(f"{merchant_url(number)}/notes", "noted", *again)

    async def tag(self, request: PageRequest) -> Response:
        """Replace the tags by those that were typed, with commas between them."""
        number = merchant_of(request)
        tags = [tag for part in request.form.text("tags").split(",") if (tag := part.strip())]
        try:
            await request.services.annotations.set_tags(number, tags, principal=request.principal)
        except ServiceError as error:
            request.form.fail(error)
            return await self._page(request, 422)
        return request.redirect(f"{merchant_url(number)}/notes", "tagged")

    async def _page(self, request: PageRequest, status: int = 200) -> Response:
        cursor = request.query(CURSOR) or None
        before = None if cursor is None else inputs.public_id(CURSOR, ids.NOTE, cursor)
        found = await request.services.annotations.notes(merchant_of(request), before=before, limit=ROWS + 1)
        notes, is_more = cut(found, ROWS)
        return await merchant_page(
            request,
            "console/notes.html",
            status,
            notes=notes,
            cursor=cursor,
            more=ids.public_id(ids.NOTE, notes[-1].note_id) if is_more else None,
            actors=await request.services.audit_log.names(),
        )
