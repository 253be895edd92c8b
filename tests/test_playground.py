"""The playground: its key, its figures, its code, and a real browser that talks through the gateway."""

import json
import os
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts import playground
from accounts.models import ApiKey, AuditEntry, Membership
from tests import rows
from tests.people import forget_static_files, person, signed_in
from tests.product import Running, SignedIn, eventually, found
from tests.test_browser import CHROMIUM, NAMES, Watched, browser, watched
from tests.upstreams import LLMock
from usage.models import Model, Provider, Route

__all__ = ["browser", "watched"]

REQUEST = {"model": "gpt-4", "messages": [{"role": "user", "content": "Say 'hi'"}], "stream": True, "temperature": 0.7}
HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"> is text.\n\n"
    "```html\n<script>document.title='owned'</script>\n```\nAnd after it."
)
QUERIES = 6
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("CI") != "true", reason="no Chromium on PATH: " + ", ".join(NAMES)
)


@pytest.fixture
def ada(db, settings):
    forget_static_files(settings)
    provider = Provider.objects.create(name="OpenAI", base_url="https://api.openai.com/v1")
    for name, kind in (("gpt-4", "chat"), ("gpt-5-mini", "chat"), ("text-embedding-3-small", "embedding")):
        model = Model.objects.create(
            name=name, display_name=name, owned_by="openai", released_at=rows.EPOCH, kind=kind, context_length=8_192
        )
        Route.objects.create(model=model, provider=provider, upstream_model=name)
    return rows.team("Ada's team")


@pytest.fixture
def user(ada):
    return person("ada@example.com", ada, Membership.Role.MEMBER)


@pytest.fixture
def client(user):
    return signed_in(user)


# The page -------------------------------------------------------------------------------------------------------------


def test_the_page_offers_the_chat_models_that_somebody_answers_for(client, ada, django_assert_num_queries) -> None:
    address = f"/t/{ada.pk}/playground/"
    client.get(address)
    with django_assert_num_queries(QUERIES):
        html = client.get(address).content.decode()
    assert re.findall(r'<option value="([^"]+)"', html) == ["gpt-4", "gpt-5-mini"]
    assert found(r'<option value="([^"]+)"[^>]* selected', html) == "gpt-5-mini"
    assert "without a price · 8,192 tokens of context" in html
    chosen = client.get(address, {"model": "gpt-4"}).content.decode()
    assert found(r'<option value="([^"]+)"[^>]* selected', chosen) == "gpt-4"
    for hostile in ("no-such", "text-embedding-3-small", "<script>", "\x00", "x" * 5_000):
        html = client.get(address, {"model": hostile}).content.decode()
        assert found(r'<option value="([^"]+)"[^>]* selected', html) == "gpt-5-mini"
        assert "<script>\n" not in html


def test_without_a_model_the_page_says_so(client, ada) -> None:
    Route.objects.all().delete()
    html = client.get(f"/t/{ada.pk}/playground/").content.decode()
    assert "No model to talk to" in html
    assert 'id="pg"' not in html


def test_a_viewer_and_a_stranger_find_nothing_there(ada) -> None:
    viewer = signed_in(person("eve@example.com", ada, Membership.Role.VIEWER))
    stranger = signed_in(person("mallory@example.com"))
    for name in ("", "key/", "key/end/", "call/", "code/"):
        for reader in (viewer, stranger):
            assert reader.post(f"/t/{ada.pk}/playground/{name}").status_code == 404
    assert not ApiKey.objects.exists()


# The key --------------------------------------------------------------------------------------------------------------


def test_the_pages_key_is_an_ordinary_key_for_a_day_and_its_secret_is_said_once(client, user, ada) -> None:
    answer = client.post(f"/t/{ada.pk}/playground/key/")
    assert "no-store" in answer["cache-control"]
    said = answer.json()
    key = ApiKey.objects.get()
    assert (key.pk, key.team, key.created_by, key.name, key.tag) == (said["id"], ada, user, "playground", "playground")
    assert said["secret"].startswith("sk-mega-")
    assert timedelta(hours=23) < key.expires_at - timezone.now() <= timedelta(days=1)
    assert AuditEntry.objects.get(action="key.create").subject == str(key)
    # Kept nowhere: neither in the session nor on any page.
    assert said["secret"] not in str(dict(client.session))
    assert said["secret"] not in client.get(f"/t/{ada.pk}/playground/").content.decode()


def test_pages_that_never_said_goodbye_leave_few_keys_behind(client, ada) -> None:
    made = [client.post(f"/t/{ada.pk}/playground/key/").json()["id"] for _ in range(playground.MOST_LIVE + 2)]
    live = ApiKey.objects.filter(revoked_at=None).values_list("pk", flat=True)
    assert set(live) == set(made[-playground.MOST_LIVE :])


def test_leaving_the_page_ends_its_own_key_and_no_other(client, user, ada) -> None:
    own = client.post(f"/t/{ada.pk}/playground/key/").json()["id"]
    grace = person("grace@example.com", ada)
    of_grace, _ = playground.make_key(grace, ada, timezone.now())
    ordinary, _ = rows.key(ada, "playground", created_by=user)
    for given in (own, own, of_grace.pk, ordinary.pk, "", "x", "-1", "9" * 40, "²"):
        assert client.post(f"/t/{ada.pk}/playground/key/end/", {"key": given}).status_code == 204
    assert list(ApiKey.objects.exclude(revoked_at=None).values_list("pk", flat=True)) == [own]
    assert AuditEntry.objects.filter(action="key.revoke").count() == 1


# What a call cost -----------------------------------------------------------------------------------------------------


def test_the_cost_is_there_once_the_call_is_recorded_and_only_for_who_may_see_it(client, user, ada) -> None:
    address = f"/t/{ada.pk}/playground/call/"
    key, _ = rows.key(ada, created_by=user)
    call = rows.event(key, timezone.now())
    shown = client.get(address, {"id": call}).content.decode()
    assert "$0.0042" in shown
    assert f'href="/t/{ada.pk}/calls/{call}/"' in shown
    assert "hx-get" not in shown

    of_another = rows.event(rows.key(ada)[0], timezone.now())
    waiting = client.get(address, {"id": of_another, "looks": "0"}).content.decode()
    assert "being recorded" in waiting
    assert "looks=1" in waiting
    assert "$" not in waiting
    last = client.get(address, {"id": of_another, "looks": "29"}).content.decode()
    assert "hx-get" not in last


@pytest.mark.parametrize("hostile", ["", "req_", "req_zz", "<script>", "x" * 5_000, "req_" + "0" * 32, "\x00"])
@pytest.mark.parametrize("looks", ["0", "-1", "99999999999", "x"])
def test_a_call_that_does_not_exist_is_not_asked_for_forever(client, ada, hostile: str, looks: str) -> None:
    answer = client.get(f"/t/{ada.pk}/playground/call/", {"id": hostile, "looks": looks})
    assert answer.status_code == 200
    assert b"<script>" not in answer.content
    assert (b"hx-get" in answer.content) is (looks == "0")


# The code -------------------------------------------------------------------------------------------------------------


def test_the_code_is_that_of_the_request_in_every_sdk(client, ada) -> None:
    answer = client.post(f"/t/{ada.pk}/playground/code/", {"request": json.dumps(REQUEST)})
    html = answer.content.decode()
    assert len(re.findall(r'role="tab"', html)) == 7
    assert "MEGADASH_API_KEY" in html
    assert "http://testserver/v1" in html
    for part in ("temperature", "0.7", "stream"):
        assert part in html
    assert "max_completion_tokens" not in html


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"model": "gpt-4", "messages": []}',
        '{"model": "gpt-4", "messages": [{"role": "tool", "content": "x"}]}',
        '{"model": "gpt-4", "messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
        '{"model": "gpt-4", "messages": [{"role": "user", "content": "x"}], "max_completion_tokens": -1}',
        json.dumps(REQUEST | {"model": "x" * 201}),
        "[" * 50_000,
    ],
)
def test_what_is_no_request_is_a_bad_request(client, ada, body: str) -> None:
    assert client.post(f"/t/{ada.pk}/playground/code/", {"request": body}).status_code == 400


def test_hostile_messages_are_quoted_and_escaped_in_the_code(client, ada) -> None:
    hostile = '"><script>alert(1)</script>\u202e\ud800'
    asked = REQUEST | {"messages": [{"role": "user", "content": hostile}]}
    answer = client.post(f"/t/{ada.pk}/playground/code/", {"request": json.dumps(asked)})
    # Half a surrogate pair is no text at all; without it the rest is shown as text.
    assert answer.status_code in (200, 400)
    asked["messages"][0]["content"] = hostile[:-1]
    html = client.post(f"/t/{ada.pk}/playground/code/", {"request": json.dumps(asked)}).content.decode()
    assert "<script>alert" not in html
    assert "\u202e" not in html


# In a browser ---------------------------------------------------------------------------------------------------------


def talk(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Control+Enter")


@needs_chromium
def test_a_talk_in_the_browser(watched: Callable[..., Watched], product: Running, upstream: LLMock) -> None:
    """An answer with markup in it, its figures and receipt; stopping; a refusal that counts down; the key's end."""
    upstream.script(
        {"type": "reply", "text": HOSTILE, "times": 1, "match": {"model": "gpt-4o-mini"}},
        {
            "type": "stream_fault",
            "kind": "stall",
            "after_chunks": 4,
            "stall_seconds": 30,
            "match": {"model": "gpt-4.1"},
        },
    )
    grace = SignedIn(product)
    team = grace.make_team("Ada's playing team", "Basic")
    form = grace.submit(f"{team}/keys/new/", {"name": "one a minute", "requests_per_minute": "1"})
    slow_key = found(r'id="secret">([^<]+)<', form)
    opened = watched()
    page = opened.sign_in()
    secrets: list[str] = []
    page.on(
        "response", lambda answer: secrets.append(answer.json()["secret"]) if answer.url.endswith("/key/") else None
    )

    page.goto(f"{product.url}{team}/playground/?model=gpt-4o-mini")
    talk(page, "Try to break out.")
    first = page.locator(".is-answer").nth(0)
    expect(first.locator("pre")).to_have_text("<script>document.title='owned'</script>\n")
    expect(first.locator(".pg-said")).to_contain_text("<img src=x onerror=\"document.title='owned'\"> is text.")
    assert page.locator("#pg-turns img, #pg-turns script").count() == 0
    assert "owned" not in page.title()
    expect(first.locator(".pg-tokens")).to_contain_text("tokens in")
    expect(first.get_by_role("link", name="Receipt")).to_be_visible(timeout=15_000)
    expect(first.locator(".pg-cost b")).to_contain_text("$")
    expect(page.locator("#pg-status")).to_have_text("The answer is complete.")
    expect(page.locator("#pg-spoken")).to_contain_text("And after it.")

    the_secret_is_in_memory_only(page, secrets[0])
    page.get_by_role("button", name="Show as code").click()
    expect(page.locator("#dialog pre").first).to_contain_text("Try to break out.")
    page.locator("#dialog").get_by_role("link", name="Close").last.click()

    page.get_by_label("Model", exact=True).select_option("gpt-4.1")
    talk(page, "Tell me a long story.")
    expect(page.locator(".is-answer").nth(1).locator(".pg-said")).not_to_be_empty()
    page.keyboard.press("Escape")
    expect(page.locator(".is-answer").nth(1)).to_contain_text("Stopped.")

    page.get_by_label("Model", exact=True).select_option("gpt-4o-mini")
    page.get_by_label("Stream the answer").uncheck()
    page.get_by_label("My own").check()
    page.get_by_label("Secret of the key").fill(slow_key)
    talk(page, "Once.")
    expect(page.locator(".is-answer").nth(2).locator(".pg-tokens")).to_be_visible()
    talk(page, "And again.")
    refused = page.locator(".is-answer").nth(3)
    expect(refused.locator(".pg-error")).to_contain_text(
        "429 · rate_limit_exceeded Rate limit reached for gpt-4o-mini in"
    )
    expect(refused.locator(".pg-wait")).to_contain_text("It fits again in")
    expect(page.get_by_label("Message", exact=True)).to_have_value("And again.")

    first.get_by_role("link", name="Receipt").click()
    expect(page.locator("main h1")).to_be_visible()
    # The browser said goodbye on its way: the key it was given is revoked.
    assert eventually(lambda: product.get("/v1/me", secrets[0])[0], lambda status: status == 401) == 401
    # The browser itself notes the refusal as an error.
    opened.wrong = [wrong for wrong in opened.wrong if "429" not in wrong]


def the_secret_is_in_memory_only(page: Page, secret: str) -> None:
    assert secret.startswith("sk-mega-")
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")
    assert secret not in stored
    assert secret not in page.content()
