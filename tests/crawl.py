"""Every page that a person can reach by links, once for each name in the URL table."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from django.urls import Resolver404, resolve
from playwright.sync_api import Page

# Not pages: they end the session, change something by being opened, or are files.
LEAVE_OUT = ("account_logout", "set_language")
# Parts that are swapped into a page by script, and whole pages only without it.
PARTS = ("-choices", "-live", "-buckets")
FILES = (".csv", ".json", ".ndjson", ".svg")
MOST_PAGES = 200
CONFIRMATION = "/accounts/reauthenticate/"


def confirm(page: Page, password: str) -> None:
    """On CONFIRMATION: for a while the pages of an account's safety open without asking who it is."""
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Confirm", exact=True).click()
    page.wait_for_url(lambda address: "/reauthenticate" not in address)


def pages(page: Page, base_url: str, *starts: str) -> Iterator[tuple[str, str]]:
    """(URL name, path with its query) of each page, opened in `page` when it is given out; breadth first."""
    waiting, seen = list(starts), set[str]()
    while waiting and len(seen) < MOST_PAGES:
        address = waiting.pop(0)
        name = _name_of(address)
        if name is None or name in seen:
            continue
        seen.add(name)
        page.goto(base_url + address)
        page.wait_for_load_state("load")
        waiting += _links(page, base_url)
        yield name, address


def _links(page: Page, base_url: str) -> list[str]:
    found = page.eval_on_selector_all("a[href]:not([download])", "links => links.map(link => link.href)")
    paths = [url.removeprefix(base_url) for url in found if url.startswith(f"{base_url}/")]
    return [path.partition("#")[0] for path in paths if not urlsplit(path).path.endswith(FILES)]


def _name_of(address: str) -> str | None:
    try:
        match = resolve(urlsplit(address).path)
    except Resolver404:
        return None
    if match.app_names or match.url_name is None or match.url_name in LEAVE_OUT:
        return None
    if any(part in match.url_name for part in PARTS):
        return None
    # One template serves several addresses of the documentation: each is a page of its own.
    kept = {name: value for name, value in match.kwargs.items() if isinstance(value, str) and "_" not in value}
    return " ".join([match.url_name, *kept.values()])
