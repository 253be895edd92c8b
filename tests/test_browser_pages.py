"""Every page that a role can reach by links, in a real browser: nothing goes wrong, nothing sticks out, axe is content.

The crawl finds the pages, so a new page is looked at without being listed here.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as Timeout

from bench.product import ROOT
from tests import crawl
from tests.product import ADMIN_PASSWORD, Running, found
from tests.test_browser import (
    AXE,
    DESKTOP_PX,
    PHONE_PX,
    Watched,
    browser,
    hanging_over,
    overhang_px,
    team,
    violations,
    watched,
)

__all__ = ["browser", "team", "watched"]

pytestmark = pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: npm's packages for the tests")

# Role -> how many pages there are at least. A viewer sees numbers only.
ROLES = {"owner": 12, "admin": 12, "member": 8, "viewer": 4}
RESIZED_WITHIN_MS = 10_000
# What can be pressed or filled in, and what of it the keyboard does not reach, or reaches unseen.
BEYOND_THE_KEYBOARD = """() => {
  const pressed = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0'], "
    + "[role=button], [role=tab], [role=switch], [role=menuitem], [hx-trigger*=click]";
  const look = (each) => [each, each.parentElement, each.nextElementSibling].filter(Boolean).map((one) => {
    const style = getComputedStyle(one);
    return [style.outlineStyle, style.outlineColor, style.boxShadow, style.borderColor, style.backgroundColor].join();
  }).join();
  const found = [...document.querySelectorAll("[tabindex]")].filter((each) => each.tabIndex > 0)
    .map((each) => `an order of its own: ${each.outerHTML.slice(0, 120)}`);
  for (const each of document.querySelectorAll(pressed)) {
    if (each.disabled || !each.checkVisibility({ visibilityProperty: true })) continue;
    document.activeElement.blur();
    const before = look(each);
    each.focus({ preventScroll: true });
    if (document.activeElement !== each) found.push(`not reached: ${each.outerHTML.slice(0, 120)}`);
    else if (look(each) === before) found.push(`reached unseen: ${each.outerHTML.slice(0, 120)}`);
  }
  document.activeElement.blur();
  return found;
}"""
MAKE_PEOPLE = """
import sys, django
django.setup()
from accounts.models import Membership, Team, User
team = Team.objects.get(pk=sys.argv[1])
for role in ("owner", "admin", "member", "viewer"):
    user = User.objects.create_user(f"{role}@example.com", sys.argv[2], name=role.title())
    Membership.objects.create(user=user, team=team, role=role)
"""


@pytest.fixture(scope="module")
def people(product: Running, team: str) -> str:
    """A person of each role in Ada's team, whose address is given."""
    environment = product.environment | {"DJANGO_SETTINGS_MODULE": "megadash.settings"}
    make = [sys.executable, "-c", MAKE_PEOPLE, found(r"/t/(\d+)", team), ADMIN_PASSWORD]
    subprocess.run(make, cwd=ROOT, env=environment, check=True, timeout=60)
    return team


@pytest.mark.timeout(180)
def test_every_page_is_sound_and_axe_finds_nothing_serious_in_either_theme(
    watched: Callable[..., Watched], product: Running, people: str
) -> None:
    """An administrator can open them all: the sign-in, a team's and the platform's."""
    # The policy is bypassed to let axe in; breaches of it are looked for below.
    opened = watched(bypass_csp=True, viewport={"width": DESKTOP_PX, "height": 900})
    wrong, seen = [], []
    for address in ("/accounts/login/", "/accounts/password/reset/"):
        opened.page.goto(product.url + address)
        wrong += violations(opened.page)
    page = opened.sign_in()
    page.goto(product.url + crawl.CONFIRMATION)
    wrong += violations(page)
    crawl.confirm(page, ADMIN_PASSWORD)
    for name, address in crawl.pages(page, product.url, f"{people}/overview/", "/instance/overview/"):
        seen.append(name)
        expect(page.locator("main h1").first).to_be_visible()
        wrong += violations(page)
        wrong += [f"{name} ({address}), keyboard: {what}" for what in _beyond_the_keyboard(page)]
        page.emulate_media(color_scheme="dark")
        expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
        wrong += [f"dark: {what}" for what in contrast_violations(page)]
        page.emulate_media(color_scheme="light")
        if not address.startswith("/t/"):  # On those an owner looks with a phone, below.
            page.set_viewport_size({"width": PHONE_PX, "height": 844})
            wrong += [f"{name} ({address}): {what}" for what in _sticking_out(page)]
            page.set_viewport_size({"width": DESKTOP_PX, "height": 900})
    assert not wrong, "\n".join(wrong)
    assert len(seen) >= 35, seen


@pytest.mark.timeout(180)
@pytest.mark.parametrize("role", ROLES)
def test_every_page_of_a_role_is_sound_on_a_phone(
    watched: Callable[..., Watched], product: Running, people: str, role: str
) -> None:
    opened = watched(viewport={"width": PHONE_PX, "height": 844}, has_touch=True)
    page = opened.sign_in(f"{role}@example.com")
    wrong: list[str] = []
    seen = []
    for name, address in crawl.pages(page, product.url, f"{people}/overview/"):
        seen.append(name)
        expect(page.locator("main h1").first).to_be_visible()
        wrong += [f"{name} ({address}): {what}" for what in _sticking_out(page)]
    assert not wrong, "\n".join(wrong)
    assert len(seen) >= ROLES[role], seen


def contrast_violations(page: Page) -> list[str]:
    """What differs between the themes is colour alone. axe is in the page already."""
    result = page.evaluate("axe.run(document, {runOnly: ['color-contrast'], resultTypes: ['violations']})")
    return [f"{each['id']}: {each['nodes'][0]['html'][:160]}" for each in result["violations"]]


def _beyond_the_keyboard(page: Page) -> list[str]:
    # From now on a focus is one of the keyboard, which pages show and a mouse's they do not.
    page.keyboard.press("Tab")
    found: list[str] = page.evaluate(BEYOND_THE_KEYBOARD)
    return found


def _sticking_out(page: Page) -> list[str]:
    wide = _settled_overhang_px(page)
    return [*hanging_over(page), *([f"{wide} px wider than its window"] if wide else [])]


def _settled_overhang_px(page: Page) -> int:
    """Charts follow a new width a moment later."""
    with contextlib.suppress(Timeout):
        page.wait_for_function(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth", timeout=RESIZED_WITHIN_MS
        )
    return overhang_px(page)
