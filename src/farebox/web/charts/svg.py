"""SVG elements, written with every text escaped, and colours left to the classes of the style sheet."""

import re
from typing import Final

from markupsafe import Markup, escape
from msgspec import Struct

from farebox.web.charts.scales import pixels

CHARACTER_WIDTH: Final = 72
"""How wide a character of 11 pixels is taken to be, in tenths of a pixel: that of a wide font."""

_NO_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class Size(Struct, frozen=True):
    """How large a chart is, and the space above its highest amount, in tenths of a pixel.

    The narrow ones are as wide as a card is on a small phone, so that texts stay as large as they are drawn.
    """

    width: int
    height: int
    top: int
    amounts_max: int = 5
    """How many amounts are labelled at most."""


def image(size: Size, description: str, *children: Markup) -> Markup:
    """Write a whole chart; the description is what a screen reader says of it."""
    view_box = f"0 0 {pixels(size.width)} {pixels(size.height)}"
    return element("svg", *children, viewBox=view_box, width="100%", role="img", aria_label=description)


def titled(name: str, title: str, **attributes: str) -> Markup:
    """Write an element with a title, which a browser shows under the pointer."""
    return element(name, element("title", escape(clean(title))), **attributes)


def text(words: str, **attributes: str) -> Markup:
    """Write a label."""
    return element("text", escape(clean(words)), **attributes)


def text_width(words: str) -> int:
    """Estimate how wide a label is, in tenths of a pixel."""
    return len(words) * CHARACTER_WIDTH


def element(name: str, *children: Markup, **attributes: str) -> Markup:
    """Write an element; an attribute's name has dashes for underscores."""
    # Markup's own formatting takes four times as long.
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(clean(value))}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{''.join(map(escape, children))}</{name}>")  # noqa: S704 - all is escaped.


def clean(words: str) -> str:
    """Replace the few characters that no XML may hold."""
    return _NO_XML.sub("\ufffd", words)
