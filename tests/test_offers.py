"""What is on offer: models that somebody answers for, at the prices of the first route."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tests import rows
from usage.models import Model, Price, PriceVersion, Provider, Route
from usage.reports import offers

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def model(name: str, *routes: tuple[Provider, int], **fields: object) -> Model:
    made = Model.objects.create(name=name, display_name=name, owned_by="openai", released_at=rows.EPOCH, **fields)
    for provider, priority in routes:
        Route.objects.create(model=made, provider=provider, upstream_model=f"{name}-upstream", priority=priority)
    return made


def price(book: str, name: str, usd: str, since: int, until: int | None = None, tier: str = "", above: int = 0) -> None:
    version = PriceVersion.objects.create(
        price_book=book,
        model=f"{name}-upstream",
        service_tier=tier,
        valid_from=datetime(since, 1, 1, tzinfo=UTC),
        valid_to=datetime(until, 1, 1, tzinfo=UTC) if until else None,
        source="test",
    )
    for token_class in ("input", "output"):
        Price.objects.create(
            version=version, token_class=token_class, usd_per_million=Decimal(usd), above_input_tokens=above
        )


@pytest.fixture
def first() -> Provider:
    return Provider.objects.create(name="OpenAI", base_url="https://api.openai.com/v1")


@pytest.fixture
def second() -> Provider:
    return Provider.objects.create(name="Other", base_url="https://other.example.com/v1", price_book="other")


def test_the_price_is_todays_standard_one_of_the_route_that_is_tried_first(first, second, django_assert_num_queries):
    model("gpt-4", (second, 1), (first, 0), shutdown_date=date(2026, 10, 23))
    price("openai", "gpt-4", "60", 2020, 2021)
    price("openai", "gpt-4", "30", 2021)
    price("openai", "gpt-4", "15", 2021, tier="batch")
    price("openai", "gpt-4", "99", 2027)
    price("openai", "gpt-4", "77", 2022, above=200_000)
    price("other", "gpt-4", "1", 2020)
    with django_assert_num_queries(2):
        (offer,) = offers.on_offer(NOW)
    assert (offer.input_usd, offer.output_usd, offer.cached_usd) == (30, 30, None)
    assert offer.is_gone(NOW.date())
    assert not offer.is_gone(date(2026, 10, 22))


def test_a_model_that_nobody_answers_for_is_not_on_offer(first, second):
    model("gpt-4")
    model("gpt-4o", (first, 0), enabled=False)
    model("gpt-5", (second, 0))
    model("gpt-5-mini", (first, 0), (second, 1))
    Provider.objects.filter(pk=second.pk).update(enabled=False)
    (offer,) = offers.on_offer(NOW)
    assert (offer.name, offer.input_usd) == ("gpt-5-mini", None)
