"""The page in a real browser: Debian's Chromium, driven by Playwright.

ALANET_SCREENSHOTS=FOLDER keeps the pictures of the page.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from alanet.video.input.decode import decode
from alanet.video.input.probe import probe
from tests.support.media import make_video
from tests.support.paths import ROOT
from tests.support.web import Site, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = [name for name in ("gradio", "playwright") if find_spec(name) is None] + ([] if CHROMIUM else ["Chromium"])
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]
SAMPLE = ROOT / "alanet" / "sample" / "bikes.mp4"
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
NAMELESS = """() => [...document.querySelectorAll('input, button, a, video, select, textarea, img, progress')]
  .filter((e) => e.checkVisibility() && e.type !== 'hidden')
  .filter((e) => !(e.ariaLabel || e.labels?.length || e.innerText?.trim() || e.alt || e.closest('label')))
  .map((e) => e.outerHTML.slice(0, 120))"""


PASSWORD = ("--auth", "me:right")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("site") / "jobs", *PASSWORD) as site:
        yield site


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many tiny frames: several segments, and time to look at a job that runs."""
    return make_video(tmp_path_factory.mktemp("long") / "long.mp4", frames=280, rate=4, size=(96, 64))


PREVIEW = re.compile("(Deblurred|Input) frame at ")  # an input frame where the network finds it sharp


class Visitor:
    """A page of a browser of its own, that notes what goes wrong and what is loaded from elsewhere."""

    def __init__(self, browser: Any, site: Site) -> None:
        login = {"username": "me", "password": "right"}
        self.context = browser.new_context(viewport=WIDE, http_credentials=login)
        self.page = self.context.new_page()
        self.page.set_default_timeout(240_000)  # a busy machine is no failure
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self._look(request.url))
        self.page.goto(site.address)
        self.page.locator(".drop").wait_for()

    def _look(self, url: str) -> None:
        if not url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.wrong.append(url)

    def choose(self, file: Path) -> None:
        self.page.locator(".drop input[type=file]").set_input_files(file)

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    def shown(self, text: str | re.Pattern[str]) -> None:
        self.page.get_by_text(text).first.wait_for()

    def until(self, reached: Callable[[], bool]) -> None:
        for _ in range(2400):
            if reached():
                return
            self.page.wait_for_timeout(100)
        raise AssertionError("took too long")

    def close(self) -> None:
        self.context.close()
        assert self.wrong == []


@pytest.fixture
def visitor(browser: Any, site: Site) -> Iterator[Visitor]:
    made = Visitor(browser, site)
    yield made
    made.close()


def keep(page: Any, folder: Path, name: str) -> None:
    path = folder / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    if kept := os.environ.get("ALANET_SCREENSHOTS"):
        shutil.copy(path, kept)


def test_from_upload_to_download(visitor: Visitor, browser: Any, site: Site, tmp_path: Path) -> None:
    page, before = visitor.page, site.files()
    keep(page, tmp_path, "start")
    visitor.choose(SAMPLE)
    visitor.shown("640x272, 25 fps, 2.4 s, h264 yuv420p")
    page.locator("svg[aria-label^='Blur over time']").wait_for()
    visitor.shown("Deblurred frame at 1.200 s, beside the input frame")
    page.locator("#moment input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    visitor.shown("In-between frame at 1.220 s, beside a blend of the frames around it")
    keep(page, tmp_path, "loaded")
    timeline = page.locator(".timeline svg")
    timeline.click(position={"x": timeline.bounding_box()["width"] * 1.2 / 2.44, "y": 20})
    visitor.shown("Deblurred frame at 1.200 s, beside the input frame")
    page.get_by_label("Divider between before and after").focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    assert page.locator(".frames").evaluate("e => e.style.getPropertyValue('--at')") == "40%"

    page.get_by_text("Advanced options").click()
    end = page.locator("label", has=page.get_by_text("End", exact=True)).locator("input")
    end.fill("soon")
    page.keyboard.press("Tab")
    visitor.shown("“End”: time 'soon' is not a moment")
    end.fill("0.3")
    page.keyboard.press("Tab")
    page.locator("#estimate[aria-busy=true]").wait_for(timeout=2000)  # at once
    visitor.shown("for 8 frames")
    page.locator("#estimate[aria-busy=false]").wait_for()
    keep(page, tmp_path, "options")
    visitor.button("Restore").click()
    visitor.button("Cancel").wait_for()
    page.wait_for_function("document.activeElement.innerText === 'Cancel'")
    page.locator("a.download").wait_for()
    page.wait_for_function("document.activeElement.innerText === 'Restore again'")
    with page.expect_download() as download:
        page.locator("a.download").click()
    assert download.value.suggested_filename == "bikes_x2.mp4"
    assert len(list(decode(probe(download.value.path())))) == 16

    visitor.button("Play").click()
    page.wait_for_function("document.querySelector('video.result').currentTime > 0.1")
    result, given = page.evaluate("['result', 'input'].map(n => document.querySelector(`video.${n}`).currentTime)")
    assert abs(result - given) < 0.15
    assert page.evaluate(NAMELESS) == []
    page.get_by_text("Advanced options").click()
    looks(page, tmp_path)
    answers = ["dismiss", "accept"]
    page.on("dialog", lambda dialog: getattr(dialog, answers.pop(0))())
    visitor.button("Delete this video").click()
    visitor.until(lambda: len(answers) == 1)
    visitor.button("Delete this video").click()
    visitor.until(lambda: not answers)
    visitor.shown("Drop a video here")
    assert site.files() == before


def looks(page: Any, folder: Path) -> None:
    """Pictures of the page with a result, wide and narrow, light and dark; nothing is cut off on a phone."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(f"document.body.classList.contains('dark') === {str(scheme == 'dark').lower()}")
        for name, size in (("wide", WIDE), ("narrow", NARROW)):
            page.set_viewport_size(size)
            keep(page, folder, f"{name}-{scheme}")
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    page.set_viewport_size(WIDE)


def test_what_cannot_be_restored_is_said_at_once(visitor: Visitor, site: Site, tmp_path: Path) -> None:
    before = site.files()
    (tmp_path / "notes.mp4").write_text("not a video " * 100)
    visitor.choose(tmp_path / "notes.mp4")
    visitor.shown("notes.mp4: not a video that can be read")
    visitor.shown("Choose another file, or convert this one to MP4")
    with (tmp_path / "large.mp4").open("wb") as file:
        file.truncate((2 << 30) + 1)  # takes no space
    visitor.choose(tmp_path / "large.mp4")
    visitor.shown("large.mp4 is too large: the limit is 2 GB.")
    keep(visitor.page, tmp_path, "refused")
    assert site.files() == before


def test_two_visitors_share_the_queue_and_see_their_own_videos(
    visitor: Visitor, browser: Any, site: Site, long: Path, tmp_path: Path
) -> None:
    visitor.choose(long)
    visitor.shown(PREVIEW)
    other = Visitor(browser, site)
    assert other.page.get_by_text("long.mp4").count() == 0
    other.choose(SAMPLE)
    other.shown(PREVIEW)
    visitor.button("Restore").click()
    visitor.shown("frames a second")
    other.button("Restore").click()
    other.shown("Waiting: 1 video before yours")
    keep(other.page, tmp_path, "waiting")
    other.button("Cancel").click()
    other.shown("Cancelled. Nothing was finished")
    other.button("Restore").wait_for()
    visitor.button("Cancel").click()
    visitor.shown("Cancelled.")
    other.close()


def test_a_job_outlives_a_reload_a_cancel_and_the_server(
    visitor: Visitor, site: Site, long: Path, tmp_path: Path
) -> None:
    """The second server is at the first one's address: the page that is still open finds it by itself."""
    visitor.choose(long)
    visitor.shown(PREVIEW)
    visitor.button("Restore").click()
    visitor.shown("frames a second")
    visitor.page.reload()
    visitor.shown("frames a second")
    keep(visitor.page, tmp_path, "running")
    visitor.until(lambda: any(name.endswith("00001.mp4") for name in site.files()))  # a finished segment
    visitor.button("Cancel").click()
    visitor.shown("Cancelled. Resume continues after the finished part.")
    visitor.page.wait_for_function("document.activeElement.innerText === 'Resume'")
    visitor.button("Resume").click()
    visitor.shown("resumed after")
    site.end(signal.SIGKILL)
    visitor.shown("Connection to the server was lost")
    with serving(site.folder, *PASSWORD, port=site.port):
        visitor.page.locator("a.download").wait_for()
        visitor.page.get_by_text("What was done").click()
        visitor.shown("earlier run")
