"""Answers that are files for the caller to keep."""

from collections.abc import AsyncIterator
from typing import Final

from farebox.web.api_route import ApiRequest, Stream

CSV: Final = "text/csv; charset=utf-8"


def download(request: ApiRequest, name: str, pieces: AsyncIterator[bytes], media: str) -> Stream:
    """Answer a file; to HEAD, its headers alone, without reading the ledger for nobody."""
    headers = [
        (b"content-type", media.encode()),
        (b"content-disposition", f'attachment; filename="{name}"'.encode()),
    ]
    return Stream(_one(b"") if request.scope["method"] == "HEAD" else pieces, headers)


def download_text(request: ApiRequest, name: str, text: bytes, media: str) -> Stream:
    """Answer a file that is made already."""
    return download(request, name, _one(text), media)


async def _one(piece: bytes) -> AsyncIterator[bytes]:
    yield piece
