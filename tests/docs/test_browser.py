"""The built site in a real browser, as a reader has it: Debian's Chromium, driven by Playwright.

It is served from this machine, and the browser may ask nobody else. Screenshots are kept in
build/screenshots, for somebody to look at.
"""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import CHECKOUT

pytestmark = [pytest.mark.docs, pytest.mark.timeout(300)]

SITE = CHECKOUT / "build" / "site"
SHOTS = CHECKOUT / "build" / "screenshots"
PHONE = {"width": 390, "height": 844}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The site, built anew and served on loopback."""
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet"]
    subprocess.run(command, cwd=CHECKOUT, env={"NO_MKDOCS_2_WARNING": "1", "PATH": ""}, check=True)
    handler = functools.partial(Quiet, directory=str(SITE))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if program is None:
        pytest.fail("no browser: apt-get install --no-install-recommends chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


class Reader:
    """A page in the browser that keeps what went wrong and who was asked."""

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        self.address = address
        self.context = browser.new_context(**({"locale": "en-US"} | context))
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.complaints: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._response)
        self.page.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _failed(self, request: Any) -> None:
        if "ERR_ABORTED" not in str(request.failure):  # not the one that leaving the page ends
            self.complaints.append(f"failed: {request.url}: {request.failure}")

    def _response(self, response: Any) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.complaints.append(f"another host was asked: {request.url}")

    def open(self, path: str) -> Any:
        self.page.goto(f"{self.address}/{path}", wait_until="load")
        return self.page

    def shoot(self, name: str, whole: bool = False) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SHOTS / f"{name}.png"), full_page=whole)


@pytest.fixture
def reader(browser: Any, address: str) -> Iterator[Reader]:
    reading = Reader(browser, address)
    yield reading
    reading.context.close()
    assert not reading.complaints, "\n".join(reading.complaints)


@pytest.fixture
def phone(browser: Any, address: str) -> Iterator[Reader]:
    reading = Reader(browser, address, viewport=PHONE, is_mobile=True, has_touch=True)
    yield reading
    reading.context.close()
    assert not reading.complaints, "\n".join(reading.complaints)


def paths(browserless: str = "") -> list[str]:
    found = sorted(str(path.parent.relative_to(SITE)) for path in SITE.rglob("index.html"))
    return [path for path in found if "/adr/" not in f"/{path}/"]


def test_every_page_is_read_without_an_error(reader: Reader) -> None:
    for path in paths():
        page = reader.open("" if path == "." else f"{path}/")
        assert page.locator("h1").count() >= 1, path
        assert page.locator("html").get_attribute("lang") == (
            "zh" if path.startswith("zh") else "en"
        )


@pytest.mark.parametrize(
    ("path", "words", "found"),
    [
        ("", "pivot_root", "ch4/root"),
        ("", "whiteout", "ch4/"),
        ("zh/", "数据卷", "zh/ch4/volumes"),
        ("zh/", "写时复制", "zh/"),
        ("zh/", "cgroup", "zh/ch3/cgroups"),
    ],
)
def test_the_search_finds_in_its_own_language(
    reader: Reader, path: str, words: str, found: str
) -> None:
    page = reader.open(path)
    page.locator(".md-search__input").click()
    page.locator(".md-search__input").fill(words)
    page.keyboard.press("End")  # an input method ends with a key too, and Material waits for one
    results = page.locator(".md-search-result__item a.md-search-result__link")
    results.first.wait_for()
    links = [link.get_attribute("href") or "" for link in results.all()]
    reader.shoot(f"search-{'zh' if path else 'en'}")
    assert any(found in link for link in links), links
    assert all(("/zh/" in link) == bool(path) for link in links), links


def test_a_tab_that_is_chosen_is_chosen_everywhere(reader: Reader) -> None:
    page = reader.open("ch3/cgroups/")
    second = page.locator(".tabbed-set .tabbed-labels label", has_text="cgroup v2")
    assert second.count() > 3
    second.first.click()
    page.wait_for_function(
        """() => [...document.querySelectorAll('.tabbed-set')].every(set =>
            set.querySelectorAll('input')[1].checked)"""
    )
    assert page.get_by_text("cat /sys/fs/cgroup/cgroup.controllers").first.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "path", ["ch3/", "zh/ch3/", "ch4/", "zh/ch4/", "ch6/", "zh/reference/architecture/"]
)
def test_diagrams_are_drawn(browser: Any, address: str, path: str, scheme: str) -> None:
    reading = Reader(browser, address, color_scheme=scheme)
    page = reading.open(path)
    page.locator("div.mermaid").first.wait_for()
    page.wait_for_function(
        "() => [...document.querySelectorAll('div.mermaid')].every(d => d.clientHeight > 100)"
    )
    assert page.locator("pre.mermaid").count() == 0
    page.locator("div.mermaid").first.scroll_into_view_if_needed()
    reading.shoot(f"diagram-{path.strip('/').replace('/', '-')}-{scheme}")
    reading.context.close()
    assert not reading.complaints, reading.complaints


@pytest.mark.parametrize("path", ["", "zh/"])
def test_a_recorded_session_is_played(reader: Reader, path: str) -> None:
    page = reader.open(path)
    page.locator(".session").first.scroll_into_view_if_needed()
    page.locator(".session .ap-player").first.wait_for()
    page.locator(".session .ap-overlay-start, .session .ap-play-button").first.click()
    page.wait_for_function(
        "() => document.querySelector('.session .ap-term').innerText.includes('mydocker')"
    )
    before = page.locator(".session .ap-term").first.inner_text()
    page.wait_for_function(
        "was => document.querySelector('.session .ap-term').innerText !== was", arg=before
    )
    reader.shoot(f"session-{'zh' if path else 'en'}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_benchmarks_figures_are_drawn(browser: Any, address: str, scheme: str) -> None:
    reading = Reader(browser, address, color_scheme=scheme)
    page = reading.open("performance/")
    bars = page.locator("figure.bars .bar i")
    widths = [bar.bounding_box()["width"] for bar in bars.all()]
    ours = page.locator("figure.bars .ours .bar i").first
    colours = {
        each.evaluate("e => getComputedStyle(e).backgroundColor") for each in (ours, bars.nth(1))
    }
    reading.shoot(f"performance-{scheme}", whole=True)
    reading.context.close()
    assert len(widths) >= 4
    assert all(width > 2 for width in widths), widths
    assert len(colours) == 2, "ours cannot be told from the others"
    assert not reading.complaints, reading.complaints


def test_the_hints_of_an_exercise_are_folded_away_and_open(reader: Reader) -> None:
    page = reader.open("zh/ch6/bridge/")
    hints = page.locator(".admonition.example").first.locator("details.tip")
    assert hints.count() == 3
    assert not hints.nth(2).locator("p").last.is_visible()
    hints.nth(2).locator("summary").click()
    assert hints.nth(2).locator("p").last.is_visible()
    page.locator(".admonition.example").first.scroll_into_view_if_needed()
    reader.shoot("exercise-zh")


PHONE_PAGES = [
    *("", "zh/ch3/cgroups/", "reference/docker/", "zh/ch4/root/"),
    *("performance/", "ch6/", "zh/ch6/bridge/", "reference/cli/"),
]


@pytest.mark.parametrize("path", PHONE_PAGES)
def test_a_phone_shows_a_page_without_scrolling_sideways(phone: Reader, path: str) -> None:
    page = phone.open(path)
    width = page.evaluate("document.documentElement.scrollWidth")
    phone.shoot(f"phone-{path.strip('/').replace('/', '-') or 'home'}")
    assert width <= PHONE["width"], width


def test_the_dark_of_the_system_is_taken_and_can_be_changed(browser: Any, address: str) -> None:
    reading = Reader(browser, address, color_scheme="dark")
    page = reading.open("ch3/namespaces/")
    page.wait_for_function("() => document.body.dataset.mdColorScheme === 'slate'")
    reading.shoot("dark")
    page.locator("label.md-header__button[for=__palette_1]").click()
    page.wait_for_function("() => document.body.dataset.mdColorScheme === 'default'")
    reading.context.close()
    assert not reading.complaints, reading.complaints


def test_the_other_language_is_the_same_page(reader: Reader) -> None:
    page = reader.open("ch4/volumes/")
    page.locator("button[aria-label='Select language']").click()
    page.locator(".md-select__link[hreflang=zh]").click()
    page.wait_for_url("**/zh/ch4/volumes/")
    assert page.locator("h1").first.inner_text().startswith("数据卷")


def test_the_copy_button_takes_the_commands_only(browser: Any, address: str) -> None:
    reading = Reader(browser, address, permissions=["clipboard-read", "clipboard-write"])
    page = reading.open("ch3/namespaces/")
    block = page.locator(".console", has_text="hostname island").first
    block.hover()
    block.locator("button.md-code__button[data-clipboard-target], .md-clipboard").first.click()
    copied = page.evaluate("navigator.clipboard.readText()")
    reading.context.close()
    assert "hostname island" in copied
    assert "4026" not in copied
    assert "# " not in copied
