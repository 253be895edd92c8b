"""A real browser on the running product: what a person sees, how fast, and that nothing goes wrong unseen."""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from bench.chromium import CHROMIUM, FLAGS, NAMES
from bench.product import ROOT
from tests.product import ADMIN_EMAIL, ADMIN_PASSWORD, Running, SignedIn

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
SHOWN_WITHIN_MS = 2_000
THEMES = ("light", "dark")
PHONE_PX = 390
SMALL_PHONE_PX = 360
DESKTOP_PX = 1440

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true", reason="no Chromium on PATH: " + ", ".join(NAMES)
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM, "CI must have a Chromium for the browser tests"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def team(product: Running) -> str:
    """Ada's team, with a call to look at: the address of its pages."""
    grace = SignedIn(product)
    address = grace.make_team("Ada's browsing team", "Basic")
    product.recorded(
        {call(product, grace.make_key(address, "a key whose name is longer than its column"), "gpt-4-32k")}
    )
    return address


class Watched:
    """A page that remembers what went wrong on it: errors, blocked content, requests to other hosts."""

    def __init__(self, page: Page, product: Running) -> None:
        self.page, self.product = page, product
        self.wrong: list[str] = []
        page.on("console", self._note_message)
        page.on("pageerror", lambda error: self.wrong.append(f"exception: {error}"))
        page.on("request", self._note_request)
        page.on("response", self._note_answer)

    def _note_message(self, message: object) -> None:
        """Violations of the content security policy arrive here too, as errors."""
        kind, text = message.type, message.text  # type: ignore[attr-defined]
        if kind in ("error", "warning"):
            self.wrong.append(f"{kind}: {text}")

    def _note_request(self, request: object) -> None:
        url = request.url  # type: ignore[attr-defined]
        if not url.startswith((self.product.url, "data:", "blob:")):
            self.wrong.append(f"request to another host: {url}")

    def _note_answer(self, answer: object) -> None:
        if answer.status >= 400:  # type: ignore[attr-defined]
            self.wrong.append(f"{answer.status}: {answer.url}")  # type: ignore[attr-defined]

    def sign_in(self, email: str = ADMIN_EMAIL) -> Page:
        page = self.page
        page.goto(f"{self.product.url}/accounts/login/")
        page.get_by_label("E-mail").fill(email)
        page.get_by_label("Password").fill(ADMIN_PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/overview/**")
        return page


@pytest.fixture
def watched(browser: Browser, product: Running) -> Iterator[Callable[..., Watched]]:
    """Opens a page in a profile of its own; at the end nothing may have gone wrong on any."""
    contexts: list[BrowserContext] = []
    opened: list[Watched] = []

    def open_(**options: object) -> Watched:
        # Without motion: nothing is looked at, or pressed, on its way.
        settled = {"locale": "en-GB", "reduced_motion": "reduce"}
        contexts.append(browser.new_context(**(settled | options)))  # type: ignore[arg-type]
        opened.append(Watched(contexts[-1].new_page(), product))
        return opened[-1]

    yield open_
    for context in contexts:
        context.close()
    assert [wrong for each in opened for wrong in each.wrong] == []


def test_a_key_made_in_the_browser_works_and_its_call_is_on_the_overview_within_two_seconds(
    watched: Callable[..., Watched], product: Running, team: str
) -> None:
    opened = watched(permissions=["clipboard-read", "clipboard-write"])
    page = opened.sign_in()

    page.goto(f"{product.url}{team}/keys/")
    page.get_by_role("link", name="Create key").first.click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Name").fill("Ada's browser")
    dialog.get_by_role("button", name="Create key").click()
    secret = dialog.locator("#secret").inner_text()
    dialog.get_by_role("button", name="Copy").first.click()
    expect(dialog.get_by_role("button", name="Copied").first).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == secret

    page.goto(f"{product.url}{team}/overview/")
    spent = page.locator("#today b.big").first
    spent_before = spent.inner_text()
    page.evaluate("window.neverReloaded = true")
    request_id = call(product, secret, "gpt-4-32k")
    ended_at = time.monotonic()
    row = page.locator("tr", has=page.locator(f"#{request_id}"))
    expect(row).to_contain_text("gpt-4-32k", timeout=SHOWN_WITHIN_MS)
    expect(row).to_contain_text("$", timeout=SHOWN_WITHIN_MS)
    expect(spent).not_to_have_text(spent_before, timeout=SHOWN_WITHIN_MS)
    assert (time.monotonic() - ended_at) * 1_000 < SHOWN_WITHIN_MS
    assert page.evaluate("window.neverReloaded") is True

    row.get_by_role("link").first.click()
    expect(page.get_by_text(request_id, exact=True)).to_be_visible()


def test_who_is_signed_out_under_an_open_page_signs_in_and_is_back_on_it(
    watched: Callable[..., Watched], product: Running, team: str
) -> None:
    page = watched().sign_in()
    address = f"{product.url}{team}/overview/?range=7d&metric=tokens"
    page.goto(address)
    page.context.clear_cookies(name="sessionid")
    page.wait_for_url("**/accounts/login/**")
    page.get_by_label("E-mail").fill(ADMIN_EMAIL)
    page.get_by_label("Password").fill(ADMIN_PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(address)
    expect(page.locator("#models-title")).to_have_text("Tokens by model")


def test_what_no_link_leads_to_fits_a_small_phone_too(
    watched: Callable[..., Watched], product: Running, team: str
) -> None:
    opened = watched(viewport={"width": SMALL_PHONE_PX, "height": 844}, has_touch=True)
    opened.page.goto(f"{product.url}/accounts/login/")
    assert overhang_px(opened.page) == 0
    page = opened.sign_in()

    page.goto(f"{product.url}{team}/keys/new/")
    page.get_by_label("Name").fill("a key whose name is longer than any column will ever be")
    page.get_by_role("button", name="Create key").click()
    expect(page.locator("#secret")).to_be_visible()
    assert overhang_px(page) == 0

    page.goto(f"{product.url}/no/such/page/")
    expect(page.locator("main h1")).to_be_visible()
    assert overhang_px(page) == 0
    opened.wrong = [wrong for wrong in opened.wrong if "404" not in wrong]


def call(product: Running, key: str, model: str) -> str:
    """One call of Ada's; the value of its x-request-id."""
    with openai.OpenAI(base_url=product.base_url, api_key=key) as ada:
        raw = ada.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": "What is on the overview? " * 100}]
        )
    return str(raw.headers["x-request-id"])


def overhang_px(page: Page) -> int:
    overhang: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return overhang


def hanging_over(page: Page) -> list[str]:
    """Tables wider than what holds them, and parts of the sidebar beyond its border."""
    over: list[str] = page.evaluate(
        """() => [["main table", "section, .scroll, div"], [".side *", ".side"]].flatMap(([inner, outer]) =>
            [...document.querySelectorAll(inner)]
                .filter((each) => each.parentElement.closest(outer) && !each.closest(".visually-hidden, .scroll"))
                .filter((each) => each.checkVisibility())
                .filter((each) => each.getBoundingClientRect().right
                    > each.parentElement.closest(outer).getBoundingClientRect().right + 0.5)
                .map((each) => each.outerHTML.slice(0, 120)))"""
    )
    return over


def violations(page: Page) -> list[str]:
    page.evaluate(Path(AXE).read_text())
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    address = re.sub(r"^https?://[^/]+", "", page.url)
    return [
        f"{address}: {each['id']}: {each['help']}: {each['nodes'][0]['html'][:160]}"
        for each in result["violations"]
        if each["impact"] in ("serious", "critical")
    ]
