"""Makes the pictures of the page in the documentation: python -m tests.web.pictures docs/images

A server of its own, the bundled sample, Debian's Chromium: web.jpg (wide, light) down to the advanced options, and
web-phone.jpg (narrow, dark), its upper part.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.support.web import serving
from tests.web.test_browser import CHROMIUM, MISSING, PASSWORD, SAMPLE, Visitor

__all__ = ["make_pictures"]

WIDE, NARROW = {"width": 1000, "height": 900}, {"width": 390, "height": 1180}
QUALITY = 88  # of JPEG


def make_pictures(folder: Path) -> None:
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as jobs,
        serving(Path(jobs), *PASSWORD) as site,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        visitor = Visitor(browser, site)
        page = visitor.page
        page.set_default_timeout(900_000)  # a busy machine is no failure
        page.set_viewport_size(WIDE)
        visitor.choose(SAMPLE)
        visitor.shown("Deblurred frame at 1.200 s")
        page.locator("svg[aria-label^='Blur over time']").wait_for()
        page.locator("#estimate[aria-busy=false]").wait_for()
        more = page.get_by_text("Advanced options").bounding_box()
        clip = {"x": 0, "y": 0, "width": WIDE["width"], "height": more["y"] + more["height"] + 10}
        jpeg = {"type": "jpeg", "quality": QUALITY, "full_page": True}
        page.screenshot(path=folder / "web.jpg", clip=clip, **jpeg)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function("document.body.classList.contains('dark')")
        page.set_viewport_size(NARROW)
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=folder / "web-phone.jpg", clip={"x": 0, "y": 0, **NARROW}, **jpeg)
        visitor.close()
        browser.close()


if __name__ == "__main__":
    if MISSING or len(sys.argv) != 2:
        sys.exit(f"not installed: {', '.join(MISSING)}" if MISSING else __doc__)
    make_pictures(Path(sys.argv[1]))
