"""Keys in a real browser, with the keyboard alone: made, narrowed, rotated while its page is open, finished."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from tests.keyboard import press_on, type_into
from tests.product import Running, SignedIn, eventually, found
from tests.test_browser import AXE, Watched, browser, call, team, violations, watched
from tests.test_rotation import call as status_of_call

__all__ = ["browser", "team", "watched"]


def test_a_key_is_made_narrowed_rotated_and_finished_with_the_keyboard_alone(
    watched: Callable[..., Watched], product: Running, team: str
) -> None:
    page = watched().sign_in()
    page.goto(f"{product.url}{team}/keys/")
    press_on(page, ".head a.btn-primary")
    expect(page.locator("#dialog #id_name")).to_be_visible()
    type_into(page, "#id_name", "by keyboard")
    press_on(page, "input[value='gpt-4-32k']", "Space")
    type_into(page, "#id_ip_ranges", "127.0.0.1/8")
    press_on(page, ".sheet-foot button")
    expect(page.locator("#id_ip_ranges_error")).to_contain_text("127.0.0.0/8")
    type_into(page, "#id_ip_ranges", "127.0.0.0/8")
    press_on(page, ".sheet-foot button")
    old = page.locator("#secret").inner_text()
    # A slip of the Escape key takes nothing away that is shown once.
    page.keyboard.press("Escape")
    expect(page.locator("#secret")).to_be_visible()
    assert status_of_call(product, old)[0] == 404  # gpt-4o-mini is not among its models
    call(product, old, "gpt-4-32k")
    expect(page.locator("#first-call")).to_contain_text("landed", timeout=10_000)
    press_on(page, ".sheet-foot a.btn")
    page.wait_for_url("**/keys/*/")

    press_on(page, "a[href$='/rotate/']")
    expect(page.locator("#dialog #id_overlap")).to_be_visible()
    press_on(page, ".sheet-foot button")
    new = page.locator("#secret").inner_text()
    call(product, new, "gpt-4-32k")
    expect(page.locator("#first-call")).to_contain_text("landed", timeout=10_000)
    press_on(page, ".sheet-foot a.btn")
    expect(page.locator(".rotation-state")).to_contain_text("Works for 24 h more")
    call(product, old, "gpt-4-32k")
    expect(page.locator(".rotation-state .warn")).to_contain_text("ago", timeout=10_000)

    press_on(page, ".rotation .btn-primary")
    expect(page.locator("#dialog")).to_contain_text("still in use")
    press_on(page, "#dialog .sheet-foot button")
    expect(page.locator(".messages")).to_contain_text("The old secret has ended")
    expect(page.locator("#key-secrets")).to_contain_text("Ended")
    assert found(r"/keys/(\d+)/$", page.url)


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: npm's packages for the tests")
def test_what_opens_over_a_keys_page_is_sound_too(watched: Callable[..., Watched], product: Running, team: str) -> None:
    """The crawl sees these as pages; here they are dialogs above one."""
    opened = watched(bypass_csp=True, color_scheme="dark")
    page = opened.sign_in()
    page.goto(f"{product.url}{team}/keys/")
    page.locator(".of-keys .name").first.click()
    page.wait_for_url("**/keys/*/")
    serious = []
    for part in ("edit", "rotate", "revoke"):
        page.locator(f"a[href$='/{part}/']").first.click()
        expect(page.locator("#dialog[open] h1")).to_be_visible()
        serious += violations(page)
        page.locator("#dialog [data-close]").first.click()
    assert serious == []


def test_news_that_come_while_a_form_is_sent_do_not_take_its_answer_away(
    watched: Callable[..., Watched], product: Running, team: str
) -> None:
    """A change of the key's state makes its open page load again, also the page that is about to make the change."""
    SignedIn(product).make_key(team, "to be revoked")
    page = watched().sign_in()
    page.goto(f"{product.url}{team}/keys/")
    page.get_by_role("link", name="to be revoked").click()
    page.locator("a[href$='/revoke/']").click()
    asked: list[Route] = []
    page.route("**/live/**", lambda route: asked.append(route))
    eventually(lambda: page.wait_for_timeout(50) or asked, bool)
    heard: list[bool] = []
    page.expose_function("hear", lambda: heard.append(True))
    page.evaluate("document.addEventListener('htmx:beforeOnLoad', () => hear())")
    sent: list[Route] = []
    page.route("**/revoke/", lambda route: sent.append(route))
    page.locator("#dialog .btn-danger").click(no_wait_after=True)
    eventually(lambda: page.wait_for_timeout(50) or sent, bool)
    asked[0].fulfill(status=200, headers={"HX-Refresh": "true"})
    eventually(lambda: page.wait_for_timeout(50) or heard, bool)
    sent[0].continue_()
    expect(page.locator(".messages")).to_contain_text("to be revoked")
