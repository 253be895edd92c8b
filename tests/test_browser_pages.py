"""Every page that a role can reach by links, in a real browser: nothing goes wrong, nothing sticks out, axe is content.

The crawl finds the pages, so a new page is looked at without being listed here.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

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

# Role -> (theme, how many pages there are at least). A viewer sees numbers only.
ROLES = {
    "owner": ("light", 12),
    "admin": ("dark", 12),
    "member": ("dark", 8),
    "viewer": ("light", 4),
    "administrator": ("light", 20),
}
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
@pytest.mark.parametrize("role", ROLES)
def test_every_page_of_a_role_is_sound(
    watched: Callable[..., Watched], product: Running, people: str, role: str
) -> None:
    theme, least = ROLES[role]
    # The policy is bypassed to let axe in; the pages' own breaches are looked for in the other browser tests.
    opened = watched(bypass_csp=True, color_scheme=theme, viewport={"width": DESKTOP_PX, "height": 900})
    if role == "administrator":
        page, starts = opened.sign_in(), [f"{people}/overview/", "/instance/overview/"]
    else:
        page, starts = opened.sign_in(f"{role}@example.com"), [f"{people}/overview/"]
    wrong: list[str] = []
    seen = []
    for name, address in crawl.pages(page, product.url, *starts):
        seen.append(name)
        wrong += [f"{name} ({address}): {what}" for what in _wrong_with(page, theme)]
    assert wrong == []
    assert len(seen) >= least, seen


def _wrong_with(page: Page, theme: str) -> list[str]:
    expect(page.locator("html")).to_have_attribute("data-bs-theme", theme)
    expect(page.locator("main h1").first).to_be_visible()
    wrong = violations(page)
    for width_px in (PHONE_PX, DESKTOP_PX):
        page.set_viewport_size({"width": width_px, "height": 844})
        if over := overhang_px(page):
            wrong.append(f"{over} px wider than a window of {width_px}")
        wrong += [f"at {width_px} px: {part}" for part in hanging_over(page)]
    return wrong
