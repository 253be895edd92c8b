"""Headroom and the call log in a real browser, on the running product, while calls run."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from playwright.sync_api import expect

from tests.product import Running, SignedIn, eventually
from tests.test_browser import Watched, browser, watched

__all__ = ["browser", "watched"]

MORE_THAN_BASIC_ALLOWS = 75


@pytest.fixture(scope="module")
def busy(product: Running) -> tuple[str, str]:
    """A team on Basic: the address of its pages, and a key."""
    grace = SignedIn(product)
    address = grace.make_team("Ada's busy team", "Basic")
    return address, grace.make_key(address, "load test")


def test_gauges_move_while_calls_run_and_a_refused_call_appears_by_itself(
    product: Running, busy: tuple[str, str], watched: Callable[..., Watched]
) -> None:
    address, key = busy
    page = watched().sign_in()
    page.goto(f"{product.url}{address}/headroom/")
    requests = page.locator("#gauge-requests .big")
    expect(requests).to_have_text("0")
    expect(page.locator("#refusals")).to_contain_text("Nothing was refused")
    calls = page.context.new_page()
    calls.goto(f"{product.url}{address}/calls/")
    page.bring_to_front()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: status_of_a_call(product, key), range(MORE_THAN_BASIC_ALLOWS)))
    assert set(answers) == {200, 429}
    expect(requests).to_have_text(re.compile(r"[1-9]\d"))
    expect(page.locator("#gauge-requests")).to_have_class(re.compile("red|amber"))
    expect(page.locator("#refusals")).to_contain_text("load test", timeout=10_000)
    expect(page.locator("#refusals")).to_contain_text("Team, requests/min")
    page.locator("#refusals a[href*='/calls/req_']").last.click()
    expect(page.locator("main")).to_contain_text("Why it was refused")
    calls.bring_to_front()
    calls.locator(".news").click(timeout=10_000)
    expect(calls.locator("#call-rows tbody tr").nth(5)).to_be_visible()
    shown = eventually(lambda: calls.locator("#call-rows tbody tr").count(), lambda rows: rows >= 50)
    calls.locator("#older").click()
    expect(calls.locator("#call-rows tbody")).to_have_count(2)
    assert calls.locator("#call-rows tbody tr").count() == MORE_THAN_BASIC_ALLOWS > shown
    calls.get_by_text("Outcome", exact=True).first.click()
    calls.get_by_label("refused").check()
    expect(calls).to_have_url(re.compile(r"\?outcome=refused$"))


def status_of_a_call(product: Running, key: str) -> int:
    with openai.OpenAI(base_url=product.base_url, api_key=key, max_retries=0) as ada:
        try:
            ada.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "hello"}], max_tokens=5)
        except openai.RateLimitError as error:
            return error.status_code
    return 200
