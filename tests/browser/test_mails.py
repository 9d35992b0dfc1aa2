"""Mails as a browser shows them: light and dark, wide and narrow; nobody is hindered, and nothing is fetched.

With FAREBOX_TEST_SCREENSHOTS set to a folder, the pictures of the documentation are taken.
"""

import base64
import os
from email.message import EmailMessage
from typing import Final

import pytest
from playwright.async_api import ViewportSize

from farebox.alerts.mail import MailSettings
from farebox.alerts.samples import sample_mails
from farebox.service.languages import language
from tests.browser.conftest import NewContext
from tests.support.browser import PHONE, PICTURE_SCALE, axe, screenshot

SKYLINE: Final = MailSettings(
    "alerts@skyline.example", "https://pay.skyline.example", "billing@skyline.example", operator="Skyline APIs"
)
WINDOW: Final[ViewportSize] = {"width": 720, "height": 780}
PICTURES: Final = {
    ("en", "light", "wide"): "mail-light",
    ("de", "dark", "wide"): "mail-dark-german",
    ("en", "light", "narrow"): "mail-narrow",
}
"""Those of a low balance that the documentation shows."""


@pytest.mark.parametrize(("code", "scheme", "size"), [*PICTURES, ("fr", "dark", "narrow")])
async def test_every_mail_is_readable(new_context: NewContext, code: str, scheme: str, size: str) -> None:
    scale = PICTURE_SCALE if "FAREBOX_TEST_SCREENSHOTS" in os.environ else 1
    viewport = PHONE if size == "narrow" else WINDOW
    context = await new_context(viewport=viewport, color_scheme=scheme, device_scale_factor=scale)
    page = await context.new_page()
    for sample in sample_mails(SKYLINE, language(code)):
        await page.set_content(as_opened(sample.message))
        await axe(page)
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert viewport["width"] == width, f"{sample.name} is too wide"
        if sample.name == "low-balance" and (code, scheme, size) in PICTURES:
            await screenshot(page, PICTURES[code, scheme, size])


@pytest.mark.parametrize("viewport", [PHONE, WINDOW], ids=["phone", "window"])
async def test_a_fact_of_one_long_word_fits(new_context: NewContext, viewport: ViewportSize) -> None:
    page = await (await new_context(viewport=viewport)).new_page()
    for sample in sample_mails(SKYLINE, language("en")):
        await page.set_content(as_opened(sample.message))
        values = page.locator("td.value")
        if await values.count():
            await values.first.evaluate("(value, word) => value.textContent = word", "INV" + "9" * 125)
        assert viewport["width"] == await page.evaluate("document.documentElement.scrollWidth"), sample.name


def as_opened(message: EmailMessage) -> str:
    """Return a mail's HTML as a mail program shows it: with the pictures that the mail carries, and no others."""
    html = message.get_body(("html",))
    assert html is not None
    text: str = html.get_content()
    for part in message.walk():
        if part.get_content_maintype() == "image":
            picture = base64.b64encode(part.get_content()).decode()
            text = text.replace(
                f"cid:{part['Content-ID'].strip('<>')}", f"data:{part.get_content_type()};base64,{picture}"
            )
    return text
