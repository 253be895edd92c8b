"""A new person in a real browser: from the e-mail to a passkey, and back in with nothing but it."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.product import Running, SignedIn, eventually
from tests.test_browser import CHROMIUM, Watched, browser

__all__ = ["browser"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH")


def test_an_invited_person_makes_an_account_adds_a_passkey_and_signs_in_with_it_alone(
    browser: Browser, product: Running
) -> None:
    team, email = SignedIn(product), "katherine@example.com"
    address = team.make_team("Katherine's team", "Basic")
    team.submit(f"{address}/team/invite/", {"email": email, "role": "admin"})
    # Browsers offer passkeys on localhost, not on 127.0.0.1.
    here = product.url.replace("127.0.0.1", "localhost")
    link = re.sub(r"https?://[^/]+", here, link_in_mail(product.data_dir, email))

    context = browser.new_context(locale="en-GB", bypass_csp=False)
    opened = Watched(context.new_page(), product)
    page = opened.page
    page.goto(link)
    expect(page.get_by_role("heading")).to_contain_text("Katherine's team")
    page.get_by_label("Your name").fill("Katherine Johnson")
    page.get_by_label("Password").fill("orbital mechanics by hand")
    page.get_by_role("button", name="Make an account and join").click()
    page.wait_for_url(f"**{address}/overview/**")

    page.get_by_role("link", name="Katherine Johnson").click()
    page.get_by_role("link", name="Passkeys").click()
    with_authenticator(page)
    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Password").fill("orbital mechanics by hand")
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("Name").fill("the blue key")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.locator("#codes")).to_be_visible()
    page.goto(f"{here}/accounts/passkeys/")
    expect(page.get_by_role("row", name="the blue key")).to_contain_text("alone")

    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/accounts/login/")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/overview/**")
    expect(page.get_by_role("link", name="Katherine Johnson")).to_be_visible()
    assert [wrong for wrong in opened.wrong if f"another host: {here}/" not in wrong] == []
    context.close()


def with_authenticator(page: Page) -> None:
    """A fingerprint reader that always says yes."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def link_in_mail(data_dir: Path, email: str) -> str:
    """From the newest e-mail to that address, as the file backend writes it."""
    found = eventually(lambda: _links(data_dir, email), bool)
    return found[-1]


def _links(data_dir: Path, email: str) -> list[str]:
    files = sorted((data_dir / "mail").glob("*.log"), key=lambda path: path.stat().st_mtime_ns)
    texts = [path.read_text() for path in files]
    return [
        link for text in texts if f"To: {email}" in text for link in re.findall(r"^https?://\S+/join/\S+", text, re.M)
    ]
