"""The models this instance serves now, with what they take and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db.models import Q

from usage.models import Model, Price, Route

CLASSES = ("input", "cached", "output")


@dataclass(frozen=True)
class Offer:
    """Prices are USD a million tokens at the standard tier, of the route that is tried first; None is unknown."""

    name: str
    display_name: str
    kind: str
    owned_by: str
    context_length: int | None
    max_output_tokens: int | None
    capabilities: Sequence[str]
    shutdown_date: date | None
    input_usd: Decimal | None
    cached_usd: Decimal | None
    output_usd: Decimal | None

    @property
    def is_chat(self) -> bool:
        return self.kind == Model.Kind.CHAT

    def is_gone(self, today: date) -> bool:
        """Its maker has switched it off: who answers now is another model behind the same name."""
        return self.shutdown_date is not None and self.shutdown_date <= today


def on_offer(now: datetime) -> list[Offer]:
    """What a call can be made to, by name. Two queries."""
    routes = Route.objects.filter(enabled=True, model__enabled=True, provider__enabled=True)
    first: dict[str, Route] = {}
    for route in routes.select_related("model", "provider").order_by("priority", "id"):
        first.setdefault(route.model.name, route)
    prices = _prices({route.provider.price_book for route in first.values()}, now)
    return [_offer(first[name], prices) for name in sorted(first)]


def _offer(route: Route, prices: dict[tuple[str, str], dict[str, Decimal]]) -> Offer:
    model = route.model
    price = prices.get((route.provider.price_book, route.upstream_model), {})
    return Offer(
        name=model.name,
        display_name=model.display_name,
        kind=model.kind,
        owned_by=model.owned_by,
        context_length=model.context_length,
        max_output_tokens=model.max_output_tokens,
        capabilities=model.capabilities,
        shutdown_date=model.shutdown_date,
        input_usd=price.get("input"),
        cached_usd=price.get("cached"),
        output_usd=price.get("output"),
    )


def _prices(books: set[str], now: datetime) -> dict[tuple[str, str], dict[str, Decimal]]:
    """By price book and the provider's name of the model; of overlapping versions the later one."""
    rows = (
        Price.objects.filter(
            Q(version__valid_to=None) | Q(version__valid_to__gt=now),
            version__price_book__in=books,
            version__service_tier="",
            version__valid_from__lte=now,
            above_input_tokens=0,
            token_class__in=CLASSES,
        )
        .order_by("version__valid_from", "version_id")
        .values_list("version__price_book", "version__model", "token_class", "usd_per_million")
    )
    prices: dict[tuple[str, str], dict[str, Decimal]] = {}
    for book, model, token_class, usd in rows:
        prices.setdefault((book, model), {})[token_class] = usd
    return prices
