"""Imports of price lists: what one would change is shown, then made; and the prices that an import made."""

import base64
import binascii
import re
import zlib
from functools import partial
from typing import Any, Final

from starlette.responses import Response

from farebox.core import ids
from farebox.core.permissions import Operation
from farebox.presenters.price_imports import change_words, left_out_counts
from farebox.service import inputs
from farebox.service.catalogue.difference import Change
from farebox.service.catalogue.files import FILE_BYTES_MAX
from farebox.service.catalogue.imports import Comparison, ListImport, ListKind
from farebox.service.errors import InvalidInput, ServiceError
from farebox.web.pages.console.whose_prices import WhosePrices
from farebox.web.pages.forms import typed_time
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_UPLOAD_BYTES_MAX: Final = 16 * 1024 * 1024
_CARRIED_BYTES_MAX: Final = 2 * 1024 * 1024
"""How large a list may be, packed, to be carried by the page that shows what it would change."""

_ROWS: Final = 200
_PAGE: Final = re.compile("[1-9][0-9]{0,3}", re.ASCII)
_SENT: Final = ("kind", "markup", "filter", "starts", "fractions")
_KINDS: Final = (
    (ListKind.OWN.value, "Farebox's own format, JSON or TOML"),
    (ListKind.LITELLM.value, "litellm's price file"),
    (ListKind.GENAI_PRICES.value, "genai-prices' data"),
)
_ORDER: Final = (Change.CHANGED, Change.NEW, Change.LEFT_OUT)


class PriceImportPages(WhosePrices):
    """Imports to one merchant's own prices, or with none to the default ones."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        common: dict[str, Any] = {"is_console": True, "operation": Operation.SET_PRICE}
        return [
            PageRoute(
                f"{self._path}/import",
                *(Audience.SUPPORT, self.show, self.compare),
                is_form=True,
                is_file_taken=True,
                form_bytes_max=_UPLOAD_BYTES_MAX,
                **common,
            ),
            PageRoute(
                f"{self._path}/import/make",
                Audience.SUPPORT,
                post=self.make,
                is_done_once=True,
                form_bytes_max=_CARRIED_BYTES_MAX,
                **common,
            ),
            PageRoute(f"{self._path}/imported", Audience.SUPPORT, get=self.imported, is_console=True),
        ]

    async def show(self, request: PageRequest) -> Response:
        """Ask for a list."""
        return await self._page(request)

    async def compare(self, request: PageRequest) -> Response:
        """Show what an import of the list that was picked would change; nothing is changed."""
        form = request.form
        try:
            data = form.file("file")
            if not data:
                raise InvalidInput("FILE", "choose the file of a price list")
            carried = base64.urlsafe_b64encode(zlib.compress(data, 9)).decode()
            if len(carried) > _CARRIED_BYTES_MAX // 2:
                raise InvalidInput("FILE", "this is too large for a page; the command line takes it")
            comparison = await request.services.price_imports.compare(self._price_list(request, data))
        except ServiceError as error:
            return await self._failed(request, error)
        fields = {field: form.text(field) for field in _SENT if field in form}
        return await self._page(
            request, comparison=comparison, fields={**fields, "list": carried, "seen": comparison.fingerprint}
        )

    async def make(self, request: PageRequest) -> Response:
        """Make the import that was shown; if prices were set meanwhile so that it would differ, say so instead."""
        form = request.form
        try:
            make = partial(
                request.services.price_imports.make,
                self._price_list(request, _unpacked(form.raw("list"))),
                seen=form.raw("seen"),
                principal=request.principal,
            )
            return await request.do_once(make, self._root(request), "prices_imported")
        except ServiceError as error:
            return await self._failed(request, error)

    async def imported(self, request: PageRequest) -> Response:
        """List the prices that an import made, by one of them."""
        page = int(request.query("page")) if _PAGE.fullmatch(request.query("page")) else 1
        try:
            price_id = inputs.public_id("price", ids.PRICE, request.query("price"))
        except InvalidInput:
            return request.redirect(self._root(request))
        prices = await request.services.price_imports.made_with(self._merchant_id(request), price_id)
        return await self._answer(
            request,
            "console/prices_imported.html",
            prices=prices[(page - 1) * _ROWS : page * _ROWS],
            count=len(prices),
            page=page,
            pages=-(-len(prices) // _ROWS),
            price=request.query("price"),
        )

    def _price_list(self, request: PageRequest, data: bytes) -> ListImport:
        form = request.form
        if form.text("kind") not in [kind for kind, _ in _KINDS]:
            raise InvalidInput("kind", "choose whose format the list is in")
        if form.text("filter").startswith("/"):
            # One that takes for ever would hold the whole server up.
            raise InvalidInput("filter", "regular expressions are for the command line; write a pattern with * and ?")
        return ListImport(
            data=data,
            kind=ListKind(form.text("kind")),
            markup=form.text("markup") or None,
            pattern=form.text("filter") or None,
            starts=typed_time("starts", form.text("starts"), request.zone),
            reads_fractions="fractions" in form,
            merchant_id=self._merchant_id(request),
        )

    async def _failed(self, request: PageRequest, error: ServiceError) -> Response:
        """Show the form again, with what is wrong; a fault within the list names its place."""
        if isinstance(error, InvalidInput) and error.field not in {"FILE", *_SENT}:
            error = InvalidInput("FILE", f"{error.field}: {error.message}")
        request.form.fail(error, {"FILE": "file"})
        return await self._page(request, 422)

    async def _page(
        self,
        request: PageRequest,
        status: int = 200,
        comparison: Comparison | None = None,
        fields: dict[str, str] | None = None,
    ) -> Response:
        values: dict[str, Any] = {}
        if comparison is not None:
            differences = [item for change in _ORDER for item in comparison.differences if item.change == change]
            currency = await self._currency(request)
            values = {
                "counts": comparison.counts,
                "starts_at": comparison.starts_at,
                "others": comparison.others,
                "left_out": left_out_counts(comparison),
                "rows": [(item, change_words(item, currency)) for item in differences[:_ROWS]],
                "more": max(len(differences) - _ROWS, 0),
                "change_count": len(comparison.changes),
                "remarks": [
                    f"{item.listed.request_type}: {remark}"
                    for item in comparison.changes
                    for remark in item.listed.remarks
                ][:_ROWS],
            }
        return await self._answer(
            request,
            "console/price_import.html",
            status,
            comparison=comparison,
            fields=fields or {},
            kinds=_KINDS,
            prices_page=self._root(request),
            **values,
        )


def _unpacked(text: str) -> bytes:
    """Read the list that the page carried.

    Raises:
        InvalidInput: it is not as the page had it.
    """
    try:
        packed = base64.urlsafe_b64decode(text)
        data = zlib.decompressobj().decompress(packed, FILE_BYTES_MAX)
    except (binascii.Error, ValueError, zlib.error):
        data = b""
    if not data:
        raise InvalidInput("FILE", "choose the file again")
    return data
