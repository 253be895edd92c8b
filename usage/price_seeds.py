"""List prices out of the bundled data of genai-prices, as spans that are ours to keep. Pure: no Django, no network.

Its price of a call is a function of the call's time and context (`get_prices`). Prices change only at the start dates
it lists, so asking it once after each of them gives every span there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice

SOURCE = f"genai-prices {version('genai-prices')}"
# Before the first model we sell: the first price of a list counts from always.
BEGINNING = date(2020, 1, 1)
CLASS_OF = {
    "input_mtok": "input",
    "cache_read_mtok": "cached",
    "cache_write_mtok": "cache_write",
    "input_audio_mtok": "audio_input",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "audio_output",
}
Steps = tuple[tuple[int, Decimal], ...]


class Span(NamedTuple):
    """Prices of one service tier from one moment to another; `prices` as PriceList takes them."""

    service_tier: str
    valid_from: datetime
    valid_to: datetime | None
    prices: dict[str, Steps]


class HourlyPrices(Exception):
    """The price depends on the hour of day, which a span of dates cannot say."""


def _snapshot() -> DataSnapshot:
    """Loaded when it is first asked for: 10 MB that the gateway's process mostly does without."""
    snapshot: DataSnapshot = import_module("genai_prices.data_snapshot").get_snapshot()
    return snapshot


def _is_a(thing: object, kind: str) -> bool:
    """Whether it is of that class of the library."""
    return isinstance(thing, getattr(import_module("genai_prices.types"), kind))


def books() -> list[tuple[str, str]]:
    """Ids and names of all price books, by id."""
    return sorted((provider.id, provider.name) for provider in _snapshot().providers)


def spans(price_book: str, model_name: str) -> list[Span]:
    """All tiers, standard first; none for a model that the book does not know. Raises HourlyPrices."""
    try:
        provider, model = _snapshot().find_provider_model(model_name, None, price_book, None)
    except LookupError:
        return []
    found = list(_spans_of("", model))
    # A book that takes a model from another maker's book takes its standard prices only.
    for tier in _tiers(model) if model in provider.models else ():
        found.extend(_spans_of(tier, model))
    return found


def _spans_of(tier: str, model: ModelInfo) -> Iterator[Span]:
    starts = _starts(tier, model)
    changes: list[tuple[date, dict[str, Steps]]] = []
    for start in starts:
        prices = _by_class(model.get_prices(_midnight(start), _context(tier)))
        if prices and (not changes or changes[-1][1] != prices):
            changes.append((start, prices))
    ends: list[date | None] = [start for start, _ in changes[1:]]
    for (start, prices), end in zip(changes, [*ends, None], strict=False):
        yield Span(tier, _midnight(start), _midnight(end) if end else None, prices)


def _starts(tier: str, model: ModelInfo) -> list[date]:
    """When prices of the tier may change; a tier begins with its first own price."""
    standard = {BEGINNING, *_dates(price.constraint for price in _conditional(model))}
    if not tier:
        return sorted(standard)
    own = {_date(variant.constraint) for variant in model.price_variants or () if variant.when == _context(tier)}
    return sorted(own | {start for start in standard if start > min(own)})


def _tiers(model: ModelInfo) -> list[str]:
    """Service tiers with prices of their own; what OpenAI calls batch processing is a tier here."""
    tiers: dict[str, None] = {}
    for variant in model.price_variants or ():
        tier = variant.when.get("service_tier") or variant.when.get("processing", "")
        if tier and tier != "default" and len(variant.when) == 1:
            tiers[tier] = None
    return list(tiers)


def _context(tier: str) -> dict[str, str] | None:
    if not tier:
        return None
    return {"processing": "batch"} if tier == "batch" else {"service_tier": tier}


def _conditional(model: ModelInfo) -> list[ConditionalPrice]:
    prices: Any = model.prices
    return [] if _is_a(prices, "ModelPrice") else list(prices)


def _dates(constraints: Iterable[object]) -> Iterator[date]:
    return (_date(constraint) for constraint in constraints)


def _date(constraint: Any) -> date:
    if _is_a(constraint, "TimeOfDateConstraint"):
        raise HourlyPrices
    return constraint.start_date if _is_a(constraint, "StartDateConstraint") else BEGINNING


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _by_class(prices: ModelPrice) -> dict[str, Steps]:
    """Prices that are not for tokens of our classes (web searches, images) are left out."""
    found = {}
    for key, token_class in CLASS_OF.items():
        price = getattr(prices, key)
        if _is_a(price, "TieredPrices"):
            found[token_class] = ((0, price.base), *((tier.start, tier.price) for tier in price.tiers))
        elif price is not None:
            found[token_class] = ((0, price),)
    return found
