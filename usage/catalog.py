"""Models, providers, routes and dated prices: what is seeded, and how they are added.

Seeding only adds what is missing: an administrator's change stays, and a newer library never changes a price by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime, time
from decimal import Decimal

from django.db import transaction
from django.db.models import Max, QuerySet

from usage import price_seeds, pricing
from usage.catalog_models import KNOWN, Known
from usage.models import Model, Price, PriceVersion, Provider, Route
from usage.pricing import PriceBook

__all__ = [
    "PriceBook",
    "add_provider",
    "add_sandbox",
    "in_force",
    "price_versions",
    "prices_at",
    "route_known_models",
    "seed_models",
    "seed_prices",
    "seed_prices_of",
]

log = logging.getLogger(__name__)
SANDBOX_NAME = "Sandbox"
# Models that misbehave on purpose; they are there only with the sandbox, and have no price.
SANDBOX_MODELS = {
    "sandbox-error-500": "Sandbox: always fails",
    "sandbox-slow": "Sandbox: slow",
    "sandbox-cut": "Sandbox: breaks off",
}


# Seeding -------------------------------------------------------------------------------------------------------------


@transaction.atomic
def seed_models() -> int:
    """Add the models of the catalogue that are not there yet; how many.

    A deleted model comes back: to hide one, disable it.
    """
    present = set(Model.objects.values_list("name", flat=True))
    missing = [known for known in KNOWN if known.name not in present]
    for known in missing:
        _row_of(known).save()
    return len(missing)


@transaction.atomic
def seed_prices() -> int:
    """Add list prices for the catalogue and for what routes lead to; how many versions.

    A (book, model, tier) that has any version is left alone.
    """
    wanted = {(known.price_book, known.name): None for known in KNOWN}
    routed = Route.objects.filter(provider__is_sandbox=False).values_list("provider__price_book", "upstream_model")
    return seed_prices_of([*wanted, *(pair for pair in routed.order_by("id") if pair not in wanted)])


def seed_prices_of(pairs: Iterable[tuple[str, str]]) -> int:
    """Of (book, model) pairs, what has no version yet."""
    present = set(PriceVersion.objects.values_list("price_book", "model", "service_tier"))
    versions: list[PriceVersion] = []
    price_lists: list[dict[str, price_seeds.Steps]] = []
    for price_book, model in pairs:
        for span in _spans(price_book, model):
            if (price_book, model, span.service_tier) not in present:
                versions.append(_version_of(price_book, model, span))
                price_lists.append(span.prices)
    PriceVersion.objects.bulk_create(versions)
    Price.objects.bulk_create(
        Price(version=version, token_class=name, above_input_tokens=above, usd_per_million=usd_per_million)
        for version, prices in zip(versions, price_lists, strict=True)
        for name, steps in prices.items()
        for above, usd_per_million in steps
    )
    return len(versions)


def _spans(price_book: str, model: str) -> list[price_seeds.Span]:
    try:
        return price_seeds.spans(price_book, model)
    except price_seeds.HourlyPrices:
        log.info("%s of %s is left unpriced: its price depends on the hour of day.", model, price_book)
        return []


def _version_of(price_book: str, model: str, span: price_seeds.Span) -> PriceVersion:
    return PriceVersion(
        price_book=price_book,
        model=model,
        service_tier=span.service_tier,
        valid_from=span.valid_from,
        valid_to=span.valid_to,
        source=price_seeds.SOURCE,
    )


def _row_of(known: Known) -> Model:
    return Model(
        name=known.name,
        display_name=known.display_name,
        kind=Model.Kind.EMBEDDING if known.is_embedding else Model.Kind.CHAT,
        owned_by=known.owned_by,
        released_at=datetime.combine(known.released_on, time(), UTC),
        shutdown_date=known.shutdown_on,
        context_length=known.context_length,
        max_output_tokens=known.max_output_tokens,
        capabilities=list(known.capabilities),
        encoding=known.encoding,
        has_exact_encoding=known.has_exact_encoding,
    )


# Prices in memory ----------------------------------------------------------------------------------------------------


def price_versions() -> PriceBook:
    """Every version, for whoever prices calls; build another one to see later changes. Two queries."""
    return _book_of(PriceVersion.objects.all(), Price.objects.all())


def prices_at(moment: datetime) -> PriceBook:
    """Only what is in force then, whatever model: what pages and the list of models show. Two queries."""
    prices = Price.objects.filter(version__valid_from__lte=moment).exclude(version__valid_to__lte=moment)
    return _book_of(in_force(moment), prices)


def in_force(moment: datetime) -> QuerySet[PriceVersion]:
    """Versions that cover the moment; where two do, the one that was set by hand applies."""
    return PriceVersion.objects.filter(valid_from__lte=moment).exclude(valid_to__lte=moment)


def _book_of(versions: QuerySet[PriceVersion], prices: QuerySet[Price]) -> PriceBook:
    lists: dict[int, dict[str, list[tuple[int, Decimal]]]] = {}
    rows = prices.values_list("version_id", "token_class", "above_input_tokens", "usd_per_million")
    for version_id, token_class, above, usd_per_million in rows:
        lists.setdefault(version_id, {}).setdefault(token_class, []).append((above, usd_per_million))
    found = versions.order_by().values_list(
        "id", "price_book", "model", "service_tier", "valid_from", "valid_to", "source"
    )
    return PriceBook(
        pricing.Version(
            *(id_, book, model, tier, since, until),
            pricing.PriceList(lists.get(id_, {})),
            source == PriceVersion.BY_HAND,
        )
        for id_, book, model, tier, since, until, source in found
    )


# Providers and routes ------------------------------------------------------------------------------------------------


@transaction.atomic
def add_provider(
    name: str,
    base_url: str,
    api_key: str,
    price_book: str = "openai",
    *,
    is_sandbox: bool = False,
    may_be_private: bool = False,
) -> Provider:
    """A provider with routes to the models its price book knows. Raises IntegrityError when the name is taken."""
    provider = Provider(
        name=name,
        base_url=base_url.rstrip("/"),
        price_book=price_book,
        is_sandbox=is_sandbox,
        may_be_private=may_be_private,
    )
    provider.save()
    if api_key:
        provider.seal_api_key(api_key)
        provider.save(update_fields=["sealed_api_key"])
    route_known_models(provider)
    return provider


def route_known_models(provider: Provider) -> int:
    """Seed the prices of its book, and route to it what the book knows, after the routes there are; how many."""
    names = list(Model.objects.exclude(name__in=SANDBOX_MODELS).values_list("name", flat=True))
    seed_prices_of((provider.price_book, model) for model in names)
    return _add_routes(provider)


def _add_routes(provider: Provider) -> int:
    """To every model of the provider's price book; to OpenAI's names when the book is not known."""
    book = _names_in(provider.price_book) or _names_in("openai")
    taken = provider.routes.values("model_id")
    models = Model.objects.filter(name__in=book).exclude(pk__in=taken).annotate(last=Max("routes__priority"))
    for model in models:
        after = 0 if model.last is None else model.last + 1
        Route(model=model, provider=provider, upstream_model=model.name, priority=after).save()
    return len(models)


def _names_in(price_book: str) -> set[str]:
    return set(PriceVersion.objects.filter(price_book=price_book).values_list("model", flat=True))


@transaction.atomic
def add_sandbox(base_url: str) -> Provider:
    """The built-in upstream, with its three faulty models. Called again, it only moves to the new address."""
    provider = Provider.objects.filter(is_sandbox=True).first()
    if provider is None:
        provider = add_provider(SANDBOX_NAME, base_url, "", is_sandbox=True)
        _add_sandbox_models(provider)
    elif provider.base_url != base_url.rstrip("/"):
        provider.base_url = base_url.rstrip("/")
        provider.save(update_fields=["base_url"])
    return provider


def _add_sandbox_models(provider: Provider) -> None:
    for name, display_name in SANDBOX_MODELS.items():
        model = Model.objects.filter(name=name).first() or Model(
            name=name,
            display_name=display_name,
            owned_by="megadash",
            released_at=datetime(2026, 11, 1, tzinfo=UTC),
            context_length=128_000,
            max_output_tokens=4_096,
            capabilities=["chat", "streaming"],
        )
        model.save()
        Route(model=model, provider=provider, upstream_model=name).save()
