"""Writing PNG files of few colours: what a chart within a mail needs, where no program draws it for its reader."""

import struct
import zlib
from collections.abc import Sequence
from typing import Final

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_DEPTH: Final = 8
_PALETTE: Final = 3
_UNFILTERED: Final = b"\0"


def write_png(*, width: int, rows: Sequence[bytes], colours: Sequence[tuple[int, int, int, int]]) -> bytes:
    """Write an image of up to 256 colours.

    Args:
        width: how many pixels a row has.
        rows: the rows from the top, a byte for each pixel: the number of its colour.
        colours: red, green, blue and opacity, 0 to 255 each.
    """
    header = struct.pack(">IIBBBBB", width, len(rows), _DEPTH, _PALETTE, 0, 0, 0)
    pixels = b"".join(_UNFILTERED + row for row in rows)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", b"".join(bytes(colour[:3]) for colour in colours)),
            _chunk(b"tRNS", bytes(colour[3] for colour in colours)),
            _chunk(b"IDAT", zlib.compress(pixels)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
