"""What a fresh instance knows of models and prices, and what adding a provider does."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import IntegrityError

from accounts.models import Change
from usage import catalog
from usage.models import Model, Price, PriceVersion, Provider, Route

pytestmark = pytest.mark.django_db
NOVEMBER = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def seeded() -> None:
    catalog.seed_models()
    catalog.seed_prices()


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(
    ("name", "window", "shutdown"),
    [
        ("gpt-4", 8_192, date(2026, 10, 23)),
        ("gpt-4-32k", 32_768, None),
        ("gpt-4-turbo", 128_000, date(2026, 10, 23)),
        ("gpt-3.5-turbo", 16_385, date(2026, 10, 23)),
    ],
)
def test_the_four_models_of_the_seed_are_there_with_their_windows(
    name: str, window: int, shutdown: date | None
) -> None:
    model = Model.objects.get(name=name)
    assert (model.context_length, model.shutdown_date) == (window, shutdown)
    assert (model.encoding, model.has_exact_encoding) == ("cl100k_base", True)
    assert "tools" in model.capabilities


@pytest.mark.usefixtures("seeded")
def test_every_seeded_model_of_openai_has_a_price_today() -> None:
    book = catalog.price_versions()
    names = Model.objects.filter(owned_by="openai").values_list("name", flat=True)
    assert [name for name in names if book.find("openai", name, "", NOVEMBER) is None] == []


@pytest.mark.usefixtures("seeded")
def test_seeding_again_adds_nothing() -> None:
    assert (catalog.seed_models(), catalog.seed_prices()) == (0, 0)


@pytest.mark.usefixtures("seeded")
def test_seeding_again_keeps_what_an_administrator_changed() -> None:
    model = Model.objects.get(name="gpt-4")
    model.context_length = 4_000
    model.enabled = False
    model.save()
    Price.objects.filter(version__model="gpt-4o", version__service_tier="").update(usd_per_million=Decimal(99))
    PriceVersion.objects.filter(model="o3", valid_to=None, service_tier="").delete()
    catalog.seed_models()
    catalog.seed_prices()
    model.refresh_from_db()
    assert (model.context_length, model.enabled) == (4_000, False)
    found = catalog.price_versions().find("openai", "gpt-4o", None, NOVEMBER)
    assert found is not None
    assert found[1].usd_per_million("input", 1) == 99
    assert PriceVersion.objects.filter(model="o3", service_tier="").count() == 1


@pytest.mark.usefixtures("seeded")
def test_a_price_change_in_the_library_becomes_two_spans_that_meet() -> None:
    before, after = PriceVersion.objects.filter(price_book="openai", model="gpt-5.6-luna", service_tier="")
    assert before.valid_from == datetime(2020, 1, 1, tzinfo=UTC)
    assert before.valid_to == after.valid_from == datetime(2026, 7, 30, tzinfo=UTC)
    assert after.valid_to is None
    assert before.source.startswith("genai-prices ")
    prices = {(row.token_class, row.above_input_tokens): row.usd_per_million for row in after.prices.all()}
    assert (prices["input", 0], prices["input", 272_000]) == (Decimal("0.2"), Decimal("0.4"))


@pytest.mark.usefixtures("seeded")
def test_service_tiers_and_batch_have_prices_from_the_day_the_library_knows_them() -> None:
    tiers = PriceVersion.objects.filter(price_book="openai", model="gpt-5.4")
    assert set(tiers.values_list("service_tier", flat=True)) == {"", "flex", "priority", "fast", "batch"}
    book = catalog.price_versions()
    known, unknown = datetime(2026, 10, 12, tzinfo=UTC), datetime(2026, 10, 11, 23, 59, tzinfo=UTC)
    assert book.find("openai", "gpt-5.4", "flex", known) != book.find("openai", "gpt-5.4", "", known)
    assert book.find("openai", "gpt-5.4", "flex", unknown) == book.find("openai", "gpt-5.4", "", unknown)


@pytest.mark.usefixtures("seeded")
def test_a_model_priced_by_the_hour_of_day_is_left_unpriced_and_said_so(caplog: pytest.LogCaptureFixture) -> None:
    Model.objects.create(name="deepseek-chat", display_name="DeepSeek", owned_by="deepseek", released_at=NOVEMBER)
    with caplog.at_level("INFO", "usage.catalog"):
        deepseek = catalog.add_provider("DeepSeek", "https://api.deepseek.com/v1", "", price_book="deepseek")
    assert "deepseek-chat of deepseek is left unpriced" in caplog.text
    assert [route.upstream_model for route in deepseek.routes.all()] == ["deepseek-v3.2"]


@pytest.mark.usefixtures("seeded")
def test_a_provider_gets_routes_to_the_models_of_its_price_book() -> None:
    openai = catalog.add_provider("OpenAI", "https://api.openai.com/v1/", "sk-upstream")
    assert (openai.base_url, openai.api_key) == ("https://api.openai.com/v1", "sk-upstream")
    routed = set(openai.routes.values_list("model__name", flat=True))
    assert {"gpt-4", "gpt-5.4", "text-embedding-3-small"} <= routed
    assert not {name for name in routed if name.startswith("claude")}
    anthropic = catalog.add_provider("Anthropic", "https://api.anthropic.com/v1", "", price_book="anthropic")
    assert all(route.upstream_model.startswith("claude") for route in anthropic.routes.all())
    assert anthropic.api_key == ""


@pytest.mark.usefixtures("seeded")
def test_a_provider_with_a_book_of_its_own_brings_its_own_prices() -> None:
    catalog.add_provider("Azure", "https://example.openai.azure.com/openai/v1", "k", price_book="azure")
    assert catalog.price_versions().find("azure", "gpt-4", "", NOVEMBER) is not None


@pytest.mark.usefixtures("seeded")
def test_an_unknown_price_book_gets_routes_to_openais_names_and_no_prices() -> None:
    ours = catalog.add_provider("Our own vLLM", "http://10.0.0.7:8000/v1", "", price_book="in-house")
    assert ours.routes.filter(model__name="gpt-4").exists()
    assert catalog.price_versions().find("in-house", "gpt-4", "", NOVEMBER) is None


@pytest.mark.usefixtures("seeded")
def test_a_route_to_another_name_gets_that_names_prices() -> None:
    provider = catalog.add_provider("OpenAI", "https://api.openai.com/v1", "k")
    Route(model=Model.objects.get(name="gpt-4"), provider=provider, upstream_model="gpt-4o-2024-05-13").save()
    assert catalog.seed_prices() > 0
    found = catalog.price_versions().find("openai", "gpt-4o-2024-05-13", "", NOVEMBER)
    assert found is not None
    assert found[1].usd_per_million("input", 1) == 5


@pytest.mark.usefixtures("seeded")
def test_two_providers_cannot_have_one_name() -> None:
    catalog.add_provider("OpenAI", "https://api.openai.com/v1", "")
    with pytest.raises(IntegrityError):
        catalog.add_provider("OpenAI", "https://api.openai.com/v1", "")


@pytest.mark.usefixtures("seeded")
def test_the_sandbox_brings_its_three_faulty_models_without_a_price() -> None:
    assert not Model.objects.filter(name__startswith="sandbox-").exists()
    sandbox = catalog.add_sandbox("http://127.0.0.1:8011/v1")
    assert sandbox.is_sandbox
    assert sandbox.routes.filter(model__name__startswith="sandbox-").count() == 3
    assert sandbox.routes.filter(model__name="gpt-4").exists()
    assert catalog.price_versions().find("openai", "sandbox-slow", "", NOVEMBER) is None
    assert catalog.seed_prices() == 0


@pytest.mark.usefixtures("seeded")
def test_the_sandbox_added_again_only_moves() -> None:
    first = catalog.add_sandbox("http://127.0.0.1:8011/v1")
    routes = Route.objects.count()
    assert catalog.add_sandbox("http://127.0.0.1:9011/v1/") == first
    assert Provider.objects.get().base_url == "http://127.0.0.1:9011/v1"
    assert Route.objects.count() == routes


def test_the_gateway_hears_of_every_model_provider_and_route() -> None:
    catalog.seed_models()
    catalog.seed_prices()
    catalog.add_sandbox("http://127.0.0.1:8011/v1")
    heard = {(change.kind, change.row_id) for change in Change.objects.all()}
    for model in (Model, Provider, Route):
        kind = model._meta.model_name
        assert {(kind, row_id) for row_id in model.objects.values_list("pk", flat=True)} <= heard
