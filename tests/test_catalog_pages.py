"""Providers, models and routes as an administrator sees and changes them."""

from __future__ import annotations

import http.server
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry, Change, InstanceSettings
from tests import rows
from tests.people import forget_static_files, person, signed_in
from usage import catalog, provider_health
from usage.models import DayModelBucket, Model, PriceVersion, Provider, ProviderHealth, Route

pytestmark = pytest.mark.django_db
SECRET = "sk-upstream-that-nobody-sees"
HERE = "http://127.0.0.1:9/v1"
# A public address, of a network that is kept for documentation: nobody answers there.
PUBLIC = "http://93.184.215.14/v1"


@pytest.fixture(autouse=True)
def _plain_static_files(settings: Any) -> None:
    forget_static_files(settings)


@pytest.fixture
def grace() -> Client:
    return signed_in(person("grace@example.com", is_staff=True))


@pytest.fixture
def openai() -> Provider:
    provider = Provider.objects.create(name="OpenAI", base_url=HERE, may_be_private=True)
    provider.seal_api_key(SECRET)
    provider.save()
    return provider


def model(name: str = "gpt-4", **fields: Any) -> Model:
    known = {"display_name": name, "owned_by": "openai", "released_at": rows.EPOCH, **fields}
    return Model.objects.create(name=name, **known)


def text_of(answer: Any) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", answer.content.decode()).split())


def error_of(field: str, answer: Any) -> str:
    found = re.search(rf'id="id_{field}_error">([^<]*)<', answer.content.decode())
    return found[1] if found else ""


# Providers -----------------------------------------------------------------------------------------------------------


def test_the_list_shows_health_with_its_age_and_the_calls_cost_and_errors_of_thirty_days(
    grace: Client, openai: Provider
) -> None:
    now = timezone.now()
    key, _ = rows.key(rows.team())
    for number in range(4):
        failed = {"outcome": "upstream_error", "status": 502} if number == 3 else {}
        rows.event(key, now - timedelta(minutes=number), **failed)
    Route.objects.create(model=model(), provider=openai, upstream_model="gpt-4")
    ProviderHealth.objects.create(provider=openai, checked_at=now - timedelta(minutes=3), is_up=False, error="HTTP 401")
    seen = text_of(grace.get("/instance/providers/"))
    assert "it refused the key (HTTP 401), 3 min ago" in seen
    assert re.search(r"OpenAI.* set 1 4 \$0\.0168 25\.0%", seen), seen


def test_a_new_provider_gets_routes_when_it_is_asked_to_and_its_key_is_shown_nowhere(grace: Client) -> None:
    catalog.seed_models()
    catalog.seed_prices()
    sent = {"name": "Azure", "base_url": PUBLIC + "/", "api_key": SECRET, "price_book": "openai", "enabled": "on"}
    sent |= {"with_routes": "on"}
    assert grace.post("/instance/providers/new/", sent)["location"] == "/instance/providers/"
    assert "already exists" in error_of("name", grace.post("/instance/providers/new/", sent))
    provider = Provider.objects.get()
    assert (provider.base_url, provider.api_key, provider.may_be_private) == (PUBLIC, SECRET, False)
    assert provider.routes.filter(model__name="gpt-4").exists()
    pages = ("/instance/providers/", f"/instance/providers/{provider.pk}/", "/instance/audit/")
    assert not [page for page in pages if SECRET in grace.get(page).content.decode()]
    entry = AuditEntry.objects.get(action="provider.create")
    assert SECRET not in json.dumps(entry.details)
    assert entry.details["key"] == "set"


def test_a_new_base_url_asks_for_the_key_again_and_never_gets_the_old_one(grace: Client, openai: Provider) -> None:
    address = f"/instance/providers/{openai.pk}/"
    sent = {"name": "OpenAI", "base_url": PUBLIC, "price_book": "openai", "enabled": "on"}
    assert "enter the key again" in error_of("api_key", grace.post(address, sent))
    openai.refresh_from_db()
    assert (openai.base_url, openai.api_key) == (HERE, SECRET)
    grace.post(address, sent | {"without_key": "on"})
    openai.refresh_from_db()
    # It was allowed to be in a private network where it was; that right does not move either.
    assert (openai.base_url, openai.api_key, openai.may_be_private) == (PUBLIC, "", False)
    grace.post(address, sent | {"api_key": "sk-new"})
    openai.refresh_from_db()
    assert openai.api_key == "sk-new"
    changes = [entry.details for entry in AuditEntry.objects.filter(action="provider.change").order_by("id")]
    assert changes == [{"base_url": [HERE, PUBLIC], "key": "removed"}, {"key": "replaced"}]


def test_an_empty_key_keeps_the_one_there_is_and_an_unchanged_address_is_not_judged_again(
    grace: Client, openai: Provider
) -> None:
    Route.objects.create(model=model(), provider=openai, upstream_model="gpt-4")
    address = f"/instance/providers/{openai.pk}/"
    grace.post(address, {"name": "OpenAI", "base_url": HERE, "price_book": "azure", "enabled": "on"})
    openai.refresh_from_db()
    assert (openai.price_book, openai.api_key, openai.may_be_private) == ("azure", SECRET, True)
    assert PriceVersion.objects.filter(price_book="azure", model="gpt-4").exists()


def test_the_sandbox_cannot_be_moved_or_given_a_key(grace: Client) -> None:
    sandbox = catalog.add_sandbox(HERE)
    sent = {"name": "Sandbox", "base_url": PUBLIC, "api_key": "sk-x", "price_book": "openai", "enabled": "on"}
    assert grace.post(f"/instance/providers/{sandbox.pk}/", sent).status_code == 302
    sandbox.refresh_from_db()
    assert (sandbox.base_url, sandbox.api_key) == (HERE, "")


@pytest.mark.parametrize(
    ("base_url", "said"),
    [
        ("", "This field is required."),
        ("ftp://93.184.215.14/v1", "must begin with https:// or http://"),
        ("javascript:alert(1)", "must begin with https:// or http://"),
        ("https://ada:secret@93.184.215.14/v1", "no user name and no password"),
        ("https://93.184.215.14/v1?key=1", "Leave out everything from ? or # on."),
        ("https://93.184.215.14:99999/v1", "This is no address."),
        ("https:///v1", "This is no address."),
        ("https://93.184.215.14/v1\\@evil", "This is no address."),
        ("http://127.0.0.1:8000/v1", "127.0.0.1 is in a private network."),
        ("http://localhost/v1", "is in a private network."),
        ("http://2130706433/v1", "127.0.0.1 is in a private network."),
        ("http://10.1.2.3/v1", "10.1.2.3 is in a private network."),
        ("http://169.254.169.254/latest", "169.254.169.254 is in a private network."),
        ("http://[::1]/v1", "::1 is in a private network."),
        ("http://[::ffff:10.0.0.1]/v1", "is in a private network."),
        ("http://[64:ff9b::7f00:1]/v1", "is in a private network."),
        ("http://0.0.0.0/v1", "0.0.0.0 is in a private network."),
        ("http://no.such.host.invalid/v1", "No host of the name no.such.host.invalid is known."),
    ],
)
def test_an_address_that_calls_must_not_be_sent_to_is_refused_beside_its_field(
    grace: Client, base_url: str, said: str
) -> None:
    sent = {"name": "Mallory's", "base_url": base_url, "price_book": "openai"}
    assert said in error_of("base_url", grace.post("/instance/providers/new/", sent))
    assert not Provider.objects.exists()


def test_a_private_network_that_the_settings_allow_may_be_used(grace: Client) -> None:
    settings = InstanceSettings.current()
    settings.private_networks = ["10.1.0.0/16"]
    settings.save()
    sent = {"name": "Ours", "price_book": "in-house"}
    assert error_of("base_url", grace.post("/instance/providers/new/", sent | {"base_url": "http://10.2.0.1/v1"}))
    grace.post("/instance/providers/new/", sent | {"base_url": "http://[::ffff:10.1.2.3]/v1"})
    assert Provider.objects.get().price_book == "in-house"


def test_switching_off_is_recorded_once_and_heard_by_the_gateway(grace: Client, openai: Provider) -> None:
    Change.objects.all().delete()
    for _ in range(2):
        grace.post(f"/instance/providers/{openai.pk}/switch/", {"to": "off"})
    openai.refresh_from_db()
    assert not openai.enabled
    assert AuditEntry.objects.filter(action="provider.disable").count() == 1
    assert Change.objects.filter(kind="provider", row_id=openai.pk).count() == 1


def test_only_a_provider_that_was_never_called_can_be_deleted_or_renamed(grace: Client, openai: Provider) -> None:
    spare = Provider.objects.create(name="Spare", base_url=PUBLIC)
    rows.event(rows.key(rows.team())[0], timezone.now())
    assert "stays in the list" in text_of(grace.get(f"/instance/providers/{openai.pk}/delete/"))
    for provider in (openai, spare):
        grace.post(f"/instance/providers/{provider.pk}/delete/")
    assert list(Provider.objects.all()) == [openai]
    assert AuditEntry.objects.get(action="provider.delete").subject == "Spare"
    sent = {"name": "Other", "base_url": HERE, "price_book": "openai", "enabled": "on"}
    grace.post(f"/instance/providers/{openai.pk}/", sent)
    assert Provider.objects.get().name == "OpenAI"


# The test button -----------------------------------------------------------------------------------------------------


class Door(http.server.BaseHTTPRequestHandler):
    """A provider's /v1/models, as its server's `does` says."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["authorization"]))  # type: ignore[attr-defined]
        self.server.does(self)  # type: ignore[attr-defined]

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def door(does: Callable[[Door], None]) -> Iterator[Any]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    server.does, server.asked = does, []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def models_of(count: int) -> Callable[[Door], None]:
    listed = [{"id": f"m{number}", "object": "model", "created": 1, "owned_by": "x"} for number in range(count)]
    return lambda asked: asked.answer(200, json.dumps({"object": "list", "data": listed}).encode())


def moved_to(provider: Provider, server: Any) -> str:
    provider.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    provider.save()
    return provider.base_url


def test_the_test_button_asks_with_the_stored_key_and_saves_nothing(grace: Client, openai: Provider) -> None:
    with door(models_of(3)) as server:
        moved_to(openai, server)
        seen = text_of(grace.post(f"/instance/providers/{openai.pk}/check/"))
    assert "It answers: 3 models in" in seen
    assert server.asked == [("/v1/models", f"Bearer {SECRET}")]
    assert not ProviderHealth.objects.exists()


def test_the_form_tests_what_is_typed_in_and_a_new_address_never_gets_the_old_key(
    grace: Client, openai: Provider
) -> None:
    settings = InstanceSettings.current()
    settings.private_networks = ["127.0.0.0/8"]
    settings.save()
    address = f"/instance/providers/{openai.pk}/try/"
    with door(models_of(2)) as server:
        new = f"http://127.0.0.1:{server.server_port}/v1"
        refused = text_of(grace.post(address, {"base_url": new}))
        assert "enter the key again" in refused
        assert server.asked == []
        assert "It answers: 2 models" in text_of(grace.post(address, {"base_url": new, "api_key": "sk-typed"}))
        assert "It answers" in text_of(grace.post("/instance/providers/try/", {"base_url": new, "api_key": "sk-typed"}))
        assert [authorization for _, authorization in server.asked] == ["Bearer sk-typed"] * 2
    openai.refresh_from_db()
    assert (openai.base_url, openai.api_key, Provider.objects.count()) == (HERE, SECRET, 1)
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (lambda asked: asked.answer(401, SECRET.encode()), "it refused the key (HTTP 401)"),
        (lambda asked: asked.answer(500, SECRET.encode()), "it answered HTTP 500"),
        (lambda asked: asked.answer(302, b"", location="/v1/elsewhere"), "it redirects elsewhere (HTTP 302)"),
        (lambda asked: asked.answer(200, b"<html>", content_type="text/html"), "is no list of models"),
        (lambda asked: asked.answer(200, b'{"data": 7}'), "is no list of models"),
        (lambda asked: asked.answer(200, b"[1"), "is no list of models"),
        (lambda asked: asked.answer(200, b"[" * 9_000_000), "too long to be one"),
        (lambda asked: asked.wfile.write(b"* OK IMAP4 ready\r\n"), "does not speak HTTP"),
    ],
    ids=["401", "500", "redirect", "html", "wrong", "broken", "huge", "other"],
)
def test_what_is_wrong_with_a_provider_is_said_without_quoting_it(
    openai: Provider, grace: Client, does: Callable[[Door], None], said: str
) -> None:
    with door(does) as server:
        moved_to(openai, server)
        answer = grace.post(f"/instance/providers/{openai.pk}/check/")
    assert said in text_of(answer)
    assert SECRET not in answer.content.decode()
    assert len(server.asked) == 1


def test_a_provider_that_never_comes_to_an_end_is_waited_for_no_longer_than_the_time_out(
    openai: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_health, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(provider_health, "SPARE_S", 0.1)
    is_over = threading.Event()

    def drip(asked: Door) -> None:
        asked.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not is_over.wait(0.05):
            asked.wfile.write(b"x")

    with door(drip) as server:
        moved_to(openai, server)
        began = time.monotonic()
        assert provider_health.look_at(openai).error == "TooSlow"
        assert time.monotonic() - began < 2
        is_over.set()


def test_a_name_that_comes_to_mean_a_private_address_is_not_connected_to(
    openai: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    openai.may_be_private = False
    answers = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::ffff:127.0.0.1", 0, 0, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    with door(models_of(1)) as server:
        openai.base_url = f"http://rebound.example.com:{server.server_port}/v1"
        assert provider_health.look_at(openai).error == "BadDestination"
        assert server.asked == []
        openai.may_be_private = True
        monkeypatch.undo()


# Models and routes ---------------------------------------------------------------------------------------------------


def test_the_list_shows_the_price_now_and_says_why_another_is_unknown(grace: Client, openai: Provider) -> None:
    catalog.seed_prices_of([("openai", "gpt-4")])
    for name in ("gpt-4", "claude-opus-5"):
        model(name)
    ours = model("ada's-own")
    for name in ("gpt-4", "ada's-own"):
        Route.objects.create(model=Model.objects.get(name=name), provider=openai, upstream_model=name)
    seen = grace.get("/instance/models/?q=gpt-4").content.decode()
    assert re.search(r">\$30\.00</a>.*>\$60\.00</a>", seen)
    unknown = grace.get("/instance/models/?state=unpriced&q=ada").content.decode()
    assert "The price book openai has no price for ada&#x27;s-own." in unknown
    assert f"/instance/prices/set/?book=openai&amp;model={ours.name.replace(chr(39), '%27')}" in unknown
    assert "No route leads to this model" in grace.get("/instance/models/?q=claude-opus-5").content.decode()


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", {"gpt-4", "embedder", "retired"}),
        ("q=GPT", {"gpt-4"}),
        ("q=%25", set()),
        ("kind=embedding", {"embedder"}),
        ("state=shutdown", {"retired"}),
        ("state=unrouted", {"embedder", "retired"}),
        ("state=off", set()),
        ("kind=nonsense&state=nonsense&provider=nonsense&page=-1&q=%00", {"gpt-4", "embedder", "retired"}),
        ("provider=99999999999999999999", {"gpt-4", "embedder", "retired"}),
    ],
)
def test_filters_narrow_the_list_and_hostile_ones_do_no_harm(
    grace: Client, openai: Provider, query: str, names: set[str]
) -> None:
    Route.objects.create(model=model("gpt-4"), provider=openai, upstream_model="gpt-4")
    model("embedder", kind=Model.Kind.EMBEDDING)
    model("retired", shutdown_date=timezone.now().date())
    seen = grace.get(f"/instance/models/?{query}")
    assert seen.status_code == 200
    assert set(re.findall(r'title="([^"]+)"><bdi class="name">', seen.content.decode())) == names


def test_a_model_is_made_changed_and_switched_off(grace: Client) -> None:
    sent = {
        "name": "ada-1", "display_name": "Ada <b>One</b>", "owned_by": "Ada's team", "kind": "chat",
        "context_length": "128,000", "max_output_tokens": "", "capabilities": ["chat", "tools"],
        "encoding": "o200k_base", "released_on": "2026-11-01", "shutdown_date": "2026-12-01", "enabled": "on",
    }  # fmt: skip
    address = grace.post("/instance/models/new/", sent)["location"]
    made = Model.objects.get()
    assert (made.context_length, made.max_output_tokens, made.capabilities) == (128_000, None, ["chat", "tools"])
    assert made.has_exact_encoding is False
    seen = grace.get(address).content.decode()
    assert "Ada &lt;b&gt;One&lt;/b&gt;" in seen
    assert "Without one, calls to this model get model_not_found." in seen
    grace.post(f"{address}change/", sent | {"display_name": "Ada One", "name": "another-name"})
    made.refresh_from_db()
    assert (made.name, made.display_name) == ("ada-1", "Ada One")
    grace.post(f"{address}switch/", {"to": "off"})
    made.refresh_from_db()
    assert not made.enabled
    actions = AuditEntry.objects.order_by("id").values_list("action", "details")
    assert [action for action, _ in actions] == ["model.create", "model.change", "model.disable"]
    assert actions[1][1] == {"display_name": ["Ada <b>One</b>", "Ada One"]}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "two words", "No spaces"),
        ("name", "gpt-4", "already exists"),
        ("name", "x" * 201, "at most 200 characters"),
        ("context_length", "NaN", "Enter a whole number."),
        ("context_length", "-1", "greater than or equal to 1"),
        ("context_length", "9" * 30, "less than or equal to"),
        ("max_output_tokens", "500", "More than its whole context."),
        ("encoding", "rot13", "Select a valid choice."),
        ("shutdown_date", "tomorrow", "Enter a valid date."),
    ],
)
def test_a_wrong_field_of_a_model_is_told_beside_it(grace: Client, field: str, value: str, said: str) -> None:
    model("gpt-4")
    sent = {"name": "ada-1", "display_name": "Ada", "owned_by": "Ada", "kind": "chat", "context_length": "400",
            "encoding": "o200k_base", field: value}  # fmt: skip
    assert said in error_of(field, grace.post("/instance/models/new/", sent))
    assert Model.objects.count() == 1


def test_routes_are_added_at_the_end_moved_switched_and_deleted(grace: Client, openai: Provider) -> None:
    catalog.seed_models()
    gpt_4 = Model.objects.get(name="gpt-4")
    other = Provider.objects.create(name="Other", base_url=PUBLIC)
    page = f"/instance/models/{gpt_4.pk}/"
    for provider, name in [(openai, "gpt-4"), (other, "gpt-4o"), (other, "gpt-4o-mini")]:
        sent = {"provider": provider.pk, "upstream_model": name}
        assert grace.post(f"{page}routes/new/", sent)["location"] == page
    again = grace.post(f"{page}routes/new/", {"provider": openai.pk, "upstream_model": "gpt-4"})
    assert "This route is there already." in error_of("upstream_model", again)
    first, second, third = gpt_4.routes.all()
    assert PriceVersion.objects.filter(price_book="openai", model="gpt-4o-mini").exists()
    grace.post(f"{page}routes/{third.pk}/", {"to": "up"})
    assert list(gpt_4.routes.all()) == [first, third, second]
    grace.post(f"{page}routes/{first.pk}/", {"to": "up"})
    assert list(gpt_4.routes.all()) == [first, third, second]
    grace.post(f"{page}routes/{first.pk}/", {"to": "off"})
    grace.post(f"{page}routes/{second.pk}/delete/")
    assert list(gpt_4.routes.values_list("pk", "enabled")) == [(first.pk, False), (third.pk, True)]
    assert "It is the last one" in text_of(grace.get(f"{page}routes/{third.pk}/delete/"))
    actions = AuditEntry.objects.order_by("id").values_list("action", flat=True)
    assert list(actions) == ["route.create"] * 3 + ["route.move", "route.disable", "route.delete"]


def test_a_route_is_not_found_below_another_model(grace: Client, openai: Provider) -> None:
    route = Route.objects.create(model=model(), provider=openai, upstream_model="gpt-4")
    assert grace.post(f"/instance/models/{model('other').pk}/routes/{route.pk}/delete/").status_code == 404
    assert Route.objects.exists()


def test_500_models_cost_as_many_queries_as_one(
    grace: Client, openai: Provider, django_assert_num_queries: Any
) -> None:
    made = Model.objects.bulk_create(
        Model(name=f"model-{number:03}", display_name="m", owned_by="ada", released_at=rows.EPOCH)
        for number in range(500)
    )
    Route.objects.bulk_create(Route(model=each, provider=openai, upstream_model=each.name) for each in made)
    grace.get("/instance/models/")
    with django_assert_num_queries(9):
        seen = text_of(grace.get("/instance/models/?page=3"))
    assert "500 models" in seen
    assert "Page 3 of 3" in seen
    with django_assert_num_queries(9):
        grace.get(f"/instance/models/{made[0].pk}/")
    with django_assert_num_queries(5):
        grace.get("/instance/providers/")


def test_the_last_thirty_days_are_thirty(grace: Client, openai: Provider) -> None:
    key, _ = rows.key(rows.team())
    now = timezone.now()
    for days in (0, 29, 30):
        rows.event(key, now - timedelta(days=days))
    assert DayModelBucket.objects.filter(team_id=0).count() == 3
    assert re.search(r"OpenAI.* set 0 2 \$0\.0084", text_of(grace.get("/instance/providers/")))
