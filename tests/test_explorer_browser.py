"""The explorer in a real browser: the card tells what the table tells, a drag asks again, a view is kept and found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.product import Running, SignedIn
from tests.test_browser import Watched, browser, call, team, watched

__all__ = ["browser", "team", "watched"]
TODAY = "#explorer-figure .tip"


@pytest.fixture(scope="module")
def two_models(product: Running, team: str) -> str:
    """Ada's team has called two models today."""
    key = SignedIn(product).make_key(team, "explorer")
    product.recorded({call(product, key, model) for model in ("gpt-4", "gpt-4-turbo")})
    return team


def pad(page: Page) -> dict[str, float]:
    """Where the chart is, once it is drawn."""
    drawn = page.locator("#explorer-figure.is-drawn .chart-pad")
    expect(drawn).to_be_visible()
    drawn.scroll_into_view_if_needed()
    box = drawn.bounding_box()
    assert box
    return dict(box)


def cells(page: Page) -> dict[str, str]:
    """Name and amount of each row of the table."""
    rows = page.locator(".explorer-rows tbody tr").all()
    return {row.locator("th bdi").last.inner_text(): row.locator("td.n").first.inner_text() for row in rows}


def test_the_card_tells_what_the_table_tells_by_mouse_and_by_keyboard(
    watched: Callable[..., Watched], product: Running, two_models: str
) -> None:
    page = watched().sign_in()
    page.goto(f"{product.url}{two_models}/explorer/?range=7d")
    at = pad(page)
    page.mouse.move(at["x"] + at["width"] - 20, at["y"] + 40)
    expect(page.locator(TODAY)).to_be_visible()
    told = page.locator(f"{TODAY} .tip-row:not(.cut, .tip-mark)").all()
    card = {row.locator("bdi").inner_text(): row.locator("b").inner_text() for row in told}
    assert card == cells(page)
    total = page.locator("#explorer-total").inner_text()
    assert page.locator(f"{TODAY} .tip-head b").inner_text() == total

    page.mouse.move(0, 0)
    expect(page.locator(TODAY)).not_to_be_visible()
    page.locator(".chart-pad").focus()
    page.keyboard.press("End")
    expect(page.locator(TODAY)).to_be_visible()
    read_out = page.locator(".chart-pad").get_attribute("aria-valuetext") or ""
    assert total in read_out
    assert all(f"{name} {amount}" in read_out for name, amount in card.items())
    page.keyboard.press("ArrowLeft")
    expect(page.locator(f"{TODAY} .tip-head b")).to_have_text("–")
    page.keyboard.press("Escape")
    expect(page.locator(TODAY)).not_to_be_visible()


def test_a_choice_and_a_drag_change_the_address_without_a_reload(
    watched: Callable[..., Watched], product: Running, two_models: str
) -> None:
    page = watched().sign_in()
    page.goto(f"{product.url}{two_models}/explorer/?range=7d")
    page.evaluate("window.neverReloaded = true")
    page.locator("#pick-metric").select_option("tokens")
    page.wait_for_url("**/explorer/?metric=tokens&range=7d")
    expect(page.locator(".explorer-number .label")).to_have_text("Tokens, all, last 7 days")
    at = pad(page)
    page.mouse.move(at["x"] + at["width"] * 0.8, at["y"] + 60)
    page.mouse.down()
    page.mouse.move(at["x"] + at["width"] - 12, at["y"] + 70, steps=4)
    page.mouse.up()
    page.wait_for_url("**/explorer/?metric=tokens&from=*&to=*")
    expect(page.locator("#wider")).to_be_visible()
    assert len(cells(page)) == 3
    pad(page)

    page.locator("#filters > summary").click()
    page.locator("#filters").get_by_role("link", name="Model").click()
    page.locator("#dialog").get_by_label("gpt-4-turbo").check()
    page.locator("#dialog").get_by_role("button", name="Apply").click()
    page.wait_for_url("**model=gpt-4-turbo")
    assert list(cells(page)) == ["gpt-4-turbo"]
    page.get_by_role("link", name="Remove the filter Model: gpt-4-turbo").click()
    expect(page.locator(".explorer-rows tbody tr")).to_have_count(3)


def test_a_view_is_saved_and_opened_again(watched: Callable[..., Watched], product: Running, two_models: str) -> None:
    page = watched().sign_in()
    page.goto(f"{product.url}{two_models}/explorer/?metric=requests&group=key&range=7d")
    page.locator("#saved > summary").click()
    page.get_by_role("link", name="Save this view…").click()
    page.locator("#dialog").get_by_label("Name").fill("Requests by key")
    page.locator("#dialog").get_by_role("button", name="Save view").click()
    expect(page.locator(".messages")).to_contain_text("Requests by key is saved.")
    page.goto(f"{product.url}{two_models}/explorer/")
    page.locator("#saved > summary").click()
    page.locator("#saved").get_by_role("link", name="Requests by key").click()
    page.wait_for_url("**/explorer/?metric=requests&group=key&range=7d")
    expect(page.locator("#saved > summary")).to_contain_text("Requests by key")
    expect(page.locator(".explorer-rows")).to_contain_text("explorer")
