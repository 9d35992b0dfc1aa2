"""Mails as a browser shows them: light and dark, wide and narrow; nobody is hindered, and nothing is fetched.

With FAREBOX_TEST_SCREENSHOTS set to a folder, the pictures of the documentation are taken.
"""

import os
from typing import Final

import pytest
from playwright.async_api import ViewportSize, expect

from farebox.alerts.mail import MailSettings
from farebox.alerts.samples.mails import sample_mails
from farebox.alerts.samples.pages import opened_page, overview_page
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
SHEET: Final[ViewportSize] = {"width": 1480, "height": 2820}
"""Large enough for a mail about each kind of alert."""


@pytest.mark.parametrize(("code", "scheme", "size"), [*PICTURES, ("fr", "dark", "narrow")])
async def test_every_mail_is_readable(new_context: NewContext, code: str, scheme: str, size: str) -> None:
    scale = PICTURE_SCALE if "FAREBOX_TEST_SCREENSHOTS" in os.environ else 1
    viewport = PHONE if size == "narrow" else WINDOW
    context = await new_context(viewport=viewport, color_scheme=scheme, device_scale_factor=scale)
    page = await context.new_page()
    for sample in sample_mails(SKYLINE, language(code)):
        await page.set_content(opened_page(sample.message))
        await axe(page)
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert viewport["width"] == width, f"{sample.name} is too wide"
        if sample.name == "low-balance" and (code, scheme, size) in PICTURES:
            await screenshot(page, PICTURES[code, scheme, size])


@pytest.mark.parametrize("viewport", [PHONE, WINDOW], ids=["phone", "window"])
async def test_a_fact_of_one_long_word_fits(new_context: NewContext, viewport: ViewportSize) -> None:
    page = await (await new_context(viewport=viewport)).new_page()
    for sample in sample_mails(SKYLINE, language("en")):
        await page.set_content(opened_page(sample.message))
        values = page.locator("td.value")
        if await values.count():
            await values.first.evaluate("(value, word) => value.textContent = word", "INV" + "9" * 125)
        assert viewport["width"] == await page.evaluate("document.documentElement.scrollWidth"), sample.name


async def test_all_mails_are_seen_on_one_page(new_context: NewContext) -> None:
    context = await new_context(viewport=SHEET, device_scale_factor=PICTURE_SCALE)
    page = await context.new_page()
    samples = [sample for sample in sample_mails(SKYLINE, language("en")) if sample.kind is not None]
    await page.set_content(overview_page(samples))
    assert len(samples) == await page.locator("iframe").count()
    for sample in samples:
        frame = page.frame_locator(f'iframe[title="{sample.name}"]')
        await expect(frame.get_by_text("Skyline APIs").first).to_be_visible()
    await axe(page)
    await screenshot(page, "mails-of-alerts")
