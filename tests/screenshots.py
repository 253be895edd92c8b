"""Pictures of every page of a running product, to be looked at.

`python -m tests.screenshots DIRECTORY URL EMAIL PASSWORD`. Both themes, at a desktop's and at a phone's width.
"""

import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.product import found
from tests.test_browser import CHROMIUM, DESKTOP_PX, FLAGS, PHONE_PX, THEMES, pages_of

WIDTHS_PX = (DESKTOP_PX, PHONE_PX)


def main(directory: Path, url: str, email: str, password: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for theme in THEMES:
            for width_px in WIDTHS_PX:
                take(browser, directory, url, email, password, theme, width_px)
        browser.close()


def take(browser: Browser, directory: Path, url: str, email: str, password: str, theme: str, width_px: int) -> None:
    context = browser.new_context(color_scheme=theme, viewport={"width": width_px, "height": 900})  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{url}/accounts/login/")
    page.screenshot(path=directory / f"sign-in-{theme}-{width_px}.png", full_page=True)
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/overview/**")
    team = found(r"(/t/\d+)/overview/", page.content())
    page.goto(f"{url}{team}/calls/")
    receipt = found(rf'href="({team}/calls/req_[0-9a-f]+/)"', page.content())
    for address in (*pages_of(team), receipt):
        page.goto(url + address)
        # Not "networkidle": the overview asks for news each second.
        page.wait_for_load_state("load")
        page.wait_for_timeout(700)
        name = "receipt" if address == receipt else address.strip("/").replace("/", "-")
        page.screenshot(path=directory / f"{name}-{theme}-{width_px}.png", full_page=True)
    context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:5])
