"""How somebody without a mouse gets about: with Tab to what they want, and a key on it."""

from __future__ import annotations

from playwright.sync_api import Page

MOST_TABS = 90


def tab_to(page: Page, selector: str) -> None:
    """It may be on a page that is still on its way."""
    page.locator(selector).first.wait_for()
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"no way to {selector} with the tab key on {page.url}")


def press_on(page: Page, selector: str, key: str = "Enter") -> None:
    tab_to(page, selector)
    page.keyboard.press(key)


def type_into(page: Page, selector: str, text: str) -> None:
    """In place of what stands there."""
    tab_to(page, selector)
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(text)


def choose(page: Page, selector: str, letters: str) -> None:
    """Of a list, what begins with these letters."""
    tab_to(page, selector)
    page.keyboard.type(letters)
