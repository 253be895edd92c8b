"""An administrator's dialogs in a real browser: a provider is tested in place, a price is set, a list narrows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from tests.product import Running
from tests.test_browser import CHROMIUM, Watched, browser, watched

__all__ = ["browser", "watched"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")


def test_a_provider_is_tested_in_place_a_list_narrows_and_a_price_is_set_in_a_dialog(
    watched: Callable[..., Watched], product: Running
) -> None:
    page = watched().sign_in()

    page.goto(f"{product.url}/instance/providers/")
    row = page.locator(".of-providers tbody tr").first
    row.get_by_role("button", name="Test").click()
    expect(row.locator(".health")).to_contain_text("It answers:")
    row.get_by_role("link").first.click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Base URL").fill("https://93.184.215.14/v1")
    dialog.get_by_role("button", name="Test").click()
    # The key that is stored was for another address; what is typed in stays as it is.
    expect(dialog.locator("#tried")).to_contain_text("enter the key again")
    expect(dialog.get_by_label("Base URL")).to_have_value("https://93.184.215.14/v1")
    dialog.get_by_role("button", name="Save provider").click()
    expect(dialog.locator("#id_api_key_error")).to_be_visible()

    page.goto(f"{product.url}/instance/models/")
    page.get_by_label("Find a model").press_sequentially("o3-m")
    expect(page.locator("#found tbody tr")).to_have_count(1)
    expect(page).to_have_url(f"{product.url}/instance/models/?q=o3-m&provider=&kind=&state=")
    page.get_by_role("link", name="o3-mini", exact=True).click()
    page.locator(".of-routes td.n a").first.click()

    page.get_by_role("link", name="Set a price").click()
    dialog.get_by_label("Input", exact=True).fill("-1")
    dialog.get_by_role("button", name="Set price").click()
    expect(dialog.locator("#id_input_0_error")).to_be_visible()
    dialog.get_by_label("Input", exact=True).fill("0.55")
    dialog.get_by_label("from a later moment on").check()
    in_a_year = datetime.now(UTC) + timedelta(days=365)
    dialog.get_by_label("From", exact=True).fill(f"{in_a_year:%Y-%m-%dT%H:%M}")
    dialog.get_by_role("button", name="Set price").click()
    expect(page.locator(".of-versions tbody tr").first).to_contain_text("Scheduled")
    expect(page.locator(".of-versions tbody tr").first).to_contain_text("$0.55")
    page.get_by_role("link", name="Withdraw").click()
    dialog.get_by_role("button", name="Withdraw price").click()
    expect(page.locator(".of-versions tbody tr")).to_have_count(1)
