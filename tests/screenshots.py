"""`make screenshots`: pictures of every page with the demo's usage, to be looked at.

Every page that a role can reach by links, in both themes, both languages, at a desktop's and at a phone's width. They
land in `screenshots/`, which is not committed.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import django
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as BrowserError

from bench.chromium import CHROMIUM, FLAGS
from bench.demo import demo
from bench.product import ROOT
from tests import crawl
from tests.test_browser import DESKTOP_PX, PHONE_PX, THEMES

LANGUAGES = {"en": "en-GB", "zh": "zh-CN"}
WIDTHS_PX = {"desktop": DESKTOP_PX, "phone": PHONE_PX}
# Who they sign in as, and where their pages begin. A page is taken once, for the first who can open it.
ROLES = {
    "owner": ("ada@example.com", ("/",)),
    "platform": ("admin@example.com", ("/instance/overview/",)),
    "viewer": ("mallory@example.com", ("/",)),
}
# What a viewer sees of these is less than what an owner sees: taken again.
LESS_FOR_VIEWERS = ("overview", "explorer", "headroom")
DRAWN_MS = 5_000


class Shot(NamedTuple):
    role: str
    name: str
    address: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=ROOT / "screenshots")
    parser.add_argument("--data", type=Path, help="a data directory with the demo, kept; otherwise a new one is made")
    parser.add_argument("--only", default="", help="only pages whose name contains this")
    chosen = parser.parse_args()
    shutil.rmtree(chosen.directory, ignore_errors=True)
    chosen.directory.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="megadash-screenshots-") as made:
        data_dir = chosen.data or Path(made) / "data"
        with demo(data_dir) as (url, password), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            seen: set[str] = set()
            count = sum(take(browser, chosen.directory, url, password, role, chosen.only, seen) for role in ROLES)
            browser.close()
    print(f"{count} pictures in {chosen.directory}")


def take(browser: Browser, directory: Path, url: str, password: str, role: str, only: str, seen: set[str]) -> int:
    """All pages of a role that are not in `seen`, which grows; how many pictures."""
    email, starts = ROLES[role]
    session = browser.new_context(locale="en-GB", viewport={"width": DESKTOP_PX, "height": 900})
    page = session.new_page()
    page.goto(f"{url}/accounts/login/")
    picture(page, directory / "signed-out-login.png")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda address: "/accounts/login" not in address)
    page.goto(url + crawl.CONFIRMATION)
    crawl.confirm(page, password)
    shots = [Shot(role, name, address) for name, address in crawl.pages(page, url, *starts) if only in name]
    shots = [shot for shot in shots if shot.name not in seen or (role == "viewer" and shot.name in LESS_FOR_VIEWERS)]
    seen.update(shot.name for shot in shots)
    kept = session.storage_state()
    session.close()
    count = 0
    for theme in THEMES:
        for language, locale in LANGUAGES.items():
            for width, width_px in WIDTHS_PX.items():
                context = browser.new_context(
                    color_scheme=theme,  # type: ignore[arg-type]
                    locale=locale,
                    viewport={"width": width_px, "height": 900},
                    storage_state=kept,
                )
                page = context.new_page()
                for shot in shots:
                    page.goto(url + shot.address)
                    picture(page, directory / role / f"{shot.name.replace(' ', '-')}-{theme}-{language}-{width}.png")
                    count += 1
                context.close()
    return count


def picture(page: Page, path: Path) -> None:
    # Not "networkidle": live pages ask for news each second.
    page.wait_for_load_state("load")
    try:
        page.wait_for_selector(".chart-wait", state="detached", timeout=DRAWN_MS)
    except BrowserError:
        print(f"{path.name}: a chart was not drawn", file=sys.stderr)
    page.screenshot(path=path, full_page=True)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "megadash.settings")
    django.setup()
    main()
