"""Without a mouse: from the sign-in through a team's pages and the platform's, and a new person up to a second factor.

Keys, the explorer and the playground are walked by their own tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.keyboard import choose, press_on, tab_to, type_into
from tests.people import code_now
from tests.product import ADMIN_EMAIL, ADMIN_PASSWORD, Running
from tests.test_browser import CHROMIUM, Watched, browser, team, watched
from tests.test_people_browser import link_in_mail

__all__ = ["browser", "team", "watched"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")
PASSWORD = "orbital mechanics by hand"


@pytest.fixture
def page(watched: Callable[..., Watched], product: Running) -> Page:
    """An administrator's."""
    opened = watched().page
    opened.goto(f"{product.url}/accounts/login/")
    sign_in(opened, ADMIN_EMAIL, ADMIN_PASSWORD)
    opened.wait_for_url("**/overview/**")
    return opened


def test_the_overview_a_receipt_and_the_list_of_calls_are_read(page: Page, product: Running, team: str) -> None:
    page.goto(f"{product.url}{team}/overview/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#main') !== null")

    press_on(page, "#range-7d")
    page.wait_for_url("**range=7d*")
    # What was pressed has been swapped for another, and still holds the focus.
    expect(page.locator("#range-7d[aria-current]")).to_be_focused()
    press_on(page, "#metric-tokens")
    expect(page.locator("#models-title")).to_have_text("Tokens by model")

    press_on(page, ".of-calls a")
    expect(page.locator("main h1")).to_contain_text("for one call")
    press_on(page, ".trail a")
    page.wait_for_url("**/calls/")
    press_on(page, "details:has(#menu-model) summary")
    press_on(page, "#menu-model input", "Space")
    page.keyboard.press("Enter")
    chip = page.locator(".chips li").first
    expect(chip).to_contain_text("gpt-4-32k")
    expect(page.locator("#call-rows tbody tr")).to_have_count(1)
    press_on(page, ".chips a")
    expect(page.locator(".chips")).to_have_count(0)

    press_on(page, ".switch summary")
    tab_to(page, ".switch-list a")
    page.keyboard.press("Escape")
    expect(page.locator(".switch summary")).to_be_focused()
    page.keyboard.press("Enter")
    press_on(page, ".switch-list a[href='/instance/overview/']")
    page.wait_for_url("**/instance/overview/**")
    press_on(page, ".side form button[aria-label='Sign out']")
    page.wait_for_url("**/accounts/login/")


def test_a_tier_a_team_and_an_admin_key_come_and_go(page: Page, product: Running) -> None:
    page.goto(f"{product.url}/instance/tiers/")
    dialog = page.locator("#dialog")
    press_on(page, ".head .btn-primary")
    type_into(page, "#id_name", "Keyboard")
    type_into(page, "#id_requests_per_minute", "-3")
    page.keyboard.press("Enter")
    expect(dialog.locator("#id_requests_per_minute_error")).to_be_visible()
    type_into(page, "#id_requests_per_minute", "30")
    page.keyboard.press("Enter")
    rows = page.locator("main tbody tr")
    expect(rows.last).to_contain_text("Keyboard")
    press_on(page, "[aria-label='Move Keyboard up']")
    expect(rows.last).not_to_contain_text("Keyboard")

    page.goto(f"{product.url}/instance/teams/")
    press_on(page, ".head .btn-primary")
    type_into(page, "#id_name", "By hand")
    choose(page, "#id_tier", "Keyboard")
    press_on(page, ".sheet-foot .btn-primary")
    page.wait_for_url("**/instance/teams/*/")
    expect(page.locator("h1")).to_have_text("By hand")
    expect(page.locator(".number", has_text="Tier")).to_contain_text("Keyboard")
    press_on(page, "a[href$='/change/']")
    choose(page, "#id_tier", "Basic")
    press_on(page, ".sheet-foot .btn-primary")
    expect(page.locator(".number", has_text="Tier")).to_contain_text("Basic")
    press_on(page, "a[href$='/archive/']")
    expect(dialog).to_contain_text("Archive this team?")
    # Who thinks better of it is back where they were.
    page.keyboard.press("Escape")
    expect(page.locator("a[href$='/archive/']")).to_be_focused()
    page.keyboard.press("Enter")
    press_on(page, "#dialog .btn-danger")
    expect(page.locator(".aside")).to_contain_text("Archived")

    page.goto(f"{product.url}/instance/tiers/")
    press_on(page, "[aria-label='Change Keyboard']")
    press_on(page, "a[href$='/delete/']")
    press_on(page, "#dialog .btn-danger")
    expect(page.locator(".messages")).to_be_visible()
    expect(page.locator("main tbody")).not_to_contain_text("Keyboard")

    page.goto(f"{product.url}/instance/admin-keys/")
    press_on(page, ".head .btn-primary")
    type_into(page, "#id_name", "by hand")
    page.keyboard.press("Enter")
    secret = dialog.locator("#secret").inner_text()
    page.keyboard.press("Escape")
    expect(dialog.locator("#secret")).to_have_text(secret)
    press_on(page, ".sheet-foot a.btn")
    press_on(page, "[aria-label='Revoke by hand']")
    press_on(page, "#dialog .btn-danger")
    expect(page.locator("tr", has_text="by hand").first).to_contain_text("Revoked")

    page.goto(f"{product.url}/instance/audit/")
    type_into(page, "input[name=subject]", "by hand")
    page.keyboard.press("Enter")
    page.wait_for_url("**subject=by+hand**")
    expect(page.locator("main tbody tr")).not_to_have_count(0)


def test_a_provider_is_tested_a_model_found_and_its_price_set(page: Page, product: Running) -> None:
    page.goto(f"{product.url}/instance/providers/")
    press_on(page, ".of-providers tbody button")
    expect(page.locator(".of-providers .health").first).to_contain_text("It answers:")

    page.goto(f"{product.url}/instance/models/")
    type_into(page, "input[name=q]", "o4-m")
    expect(page.locator("#found tbody tr")).to_have_count(1)
    press_on(page, "#found tbody a")
    press_on(page, ".of-routes td.n a")
    press_on(page, "a.btn-primary")
    type_into(page, "#id_input_0", "none")
    page.keyboard.press("Enter")
    expect(page.locator("#dialog #id_input_0_error")).to_be_visible()
    type_into(page, "#id_input_0", "0.5")
    page.keyboard.press("Enter")
    expect(page.locator(".of-versions tbody tr").first).to_contain_text("$0.50")

    page.goto(f"{product.url}/instance/settings/")
    type_into(page, "#id_invitation_days", "0")
    page.keyboard.press("Enter")
    expect(page.locator("#id_invitation_days_error")).to_be_visible()
    type_into(page, "#id_invitation_days", "7")
    page.keyboard.press("Enter")
    expect(page.locator(".messages")).to_be_visible()


def test_somebody_is_invited_joins_and_sets_up_a_second_factor(
    page: Page, watched: Callable[..., Watched], product: Running, team: str
) -> None:
    page.goto(f"{product.url}{team}/team/")
    press_on(page, ".head .btn-primary")
    type_into(page, "#id_email", "nobody")
    page.keyboard.press("Enter")
    expect(page.locator("#dialog #id_email_error")).to_be_visible()
    type_into(page, "#id_email", "dorothy@example.com")
    tab_to(page, "input[name=role]")
    page.keyboard.press("ArrowUp")
    invited_as = page.locator("#dialog input[name=role]:checked").get_attribute("value")
    press_on(page, ".sheet-foot .btn-primary")
    expect(page.locator(".people", has_text="dorothy@example.com")).to_be_visible()

    other = watched().page
    other.goto(re.sub(r"https?://[^/]+", product.url, link_in_mail(product.data_dir, "dorothy@example.com")))
    type_into(other, "#id_name", "Dorothy Vaughan")
    type_into(other, "#id_password", PASSWORD)
    other.keyboard.press("Enter")
    other.wait_for_url("**/overview/**")

    press_on(other, ".me-link")
    type_into(other, "#id_name", "Dorothy V.")
    other.keyboard.press("Enter")
    expect(other.locator(".me-name")).to_contain_text("Dorothy V.")
    press_on(other, "a[href='/accounts/2fa/']")
    press_on(other, "a[href='/accounts/2fa/app/']")
    type_into(other, "#id_password", PASSWORD)
    other.keyboard.press("Enter")
    press_on(other, ".scan summary")
    type_into(other, "#id_code", code_now(other.locator("#totp-secret").inner_text()))
    other.keyboard.press("Enter")
    code, *_ = other.locator("#codes").inner_text().split()
    press_on(other, ".side form button[aria-label='Sign out']")
    other.wait_for_url("**/accounts/login/")
    sign_in(other, "dorothy@example.com", PASSWORD)
    other.wait_for_url("**/2fa/**")
    type_into(other, "#id_code", code)
    other.keyboard.press("Enter")
    other.wait_for_url("**/overview/**")

    page.goto(f"{product.url}{team}/team/")
    row = page.locator("#member-rows tr", has_text="dorothy@example.com")
    expect(row).to_contain_text("On")
    expect(row).to_contain_text(str(invited_as), ignore_case=True)
    press_on(page, "[aria-label='Remove Dorothy V.']")
    press_on(page, "#dialog .btn-danger")
    expect(row).to_have_count(0)
    other.reload()
    other.wait_for_url("**/accounts/login/**")


def test_the_docs_and_headroom_are_read_in_either_language(page: Page, product: Running, team: str) -> None:
    page.goto(f"{product.url}{team}/docs/")
    tab_to(page, "[role=tab]")
    first = page.evaluate("document.activeElement.dataset.sdk")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-selected')") == "true"
    assert page.evaluate("document.activeElement.dataset.sdk") != first
    press_on(page, ".docs-turn a[rel=next]")
    page.wait_for_url("**/docs/*/")

    press_on(page, ".side button[name=language]")
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    press_on(page, f".links a[href='{team}/headroom/']")
    expect(page.locator("main h1")).to_have_text("余量")
    press_on(page, "[data-switch-theme]")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    press_on(page, ".side button[name=language]")
    expect(page.locator("html")).to_have_attribute("lang", "en")


def sign_in(page: Page, email: str, password: str) -> None:
    """The e-mail has the focus from the start."""
    expect(page.locator("#id_login")).to_be_focused()
    page.keyboard.type(email)
    type_into(page, "#id_password", password)
    page.keyboard.press("Enter")
