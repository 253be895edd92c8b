"""The present price of a route, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext

from usage.models import Route
from usage.pricing import PriceBook


@dataclass(frozen=True)
class Priced:
    """USD per million tokens, below every threshold. Links are empty without a route."""

    version_id: int | None = None
    input: Decimal | None = None
    output: Decimal | None = None
    why_unknown: str = ""
    history_url: str = ""
    set_url: str = ""


def price_of(route: Route | None, book: PriceBook, now: datetime) -> Priced:
    if route is None:
        return Priced(why_unknown=gettext("No route leads to this model, so it has no price."))
    price_book, model = route.provider.price_book, route.upstream_model
    history_url, set_url = history_address(price_book, model), set_address(price_book, model)
    found = book.find(price_book, model, "", now)
    if found is None:
        why = gettext("The price book %(book)s has no price for %(model)s.") % {"book": price_book, "model": model}
        return Priced(why_unknown=why, history_url=history_url, set_url=set_url)
    version_id, prices = found
    return Priced(
        version_id,
        prices.usd_per_million("input", 0),
        prices.usd_per_million("output", 0),
        gettext("This class has no price"),
        history_url,
        set_url,
    )


def history_address(price_book: str, model: str, service_tier: str = "") -> str:
    return f"{reverse('price-history')}?{_query(price_book, model, service_tier)}"


def set_address(price_book: str, model: str, service_tier: str = "") -> str:
    return f"{reverse('price-set')}?{_query(price_book, model, service_tier)}"


def _query(price_book: str, model: str, service_tier: str) -> str:
    fields = {"book": price_book, "model": model, "tier": service_tier}
    return urlencode({name: value for name, value in fields.items() if value})
