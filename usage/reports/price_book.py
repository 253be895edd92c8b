"""Every price there is, now and over time: which version applies, since when, until when, and who set it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from django.db.models import QuerySet

from usage.models import PriceVersion, Route
from usage.pricing import PriceList

Key = tuple[str, str, str]


class State(StrEnum):
    IN_FORCE = "in force"
    SCHEDULED = "scheduled"
    PAST = "past"
    # A list price that begins after a price was set by hand.
    NEVER = "never in force"


@dataclass(frozen=True)
class Dated:
    """One version, and from when to when it applies: not after a price set by hand begins."""

    version: PriceVersion
    prices: PriceList
    until: datetime | None
    state: State

    def input_and_output(self) -> tuple[Decimal | None, Decimal | None]:
        """USD per million tokens below every threshold."""
        return self.prices.usd_per_million("input", 0), self.prices.usd_per_million("output", 0)


@dataclass
class Line:
    """What has one price at a time: a model of a book, on one service tier ("" is the standard one)."""

    price_book: str
    model: str
    service_tier: str
    # Newest first.
    versions: list[Dated] = field(default_factory=list)

    @property
    def present(self) -> Dated | None:
        return next((dated for dated in self.versions if dated.state is State.IN_FORCE), None)

    @property
    def next(self) -> Dated | None:
        """The nearest change that is coming."""
        scheduled = [dated for dated in self.versions if dated.state is State.SCHEDULED]
        return scheduled[-1] if scheduled else None


def lines(now: datetime) -> list[Line]:
    """Of everything that has a version, or is routed to and has none, by name. Three queries."""
    found = _lines(PriceVersion.objects.all(), now)
    routed = Route.objects.filter(provider__is_sandbox=False).order_by()
    for price_book, model in routed.values_list("provider__price_book", "upstream_model").distinct():
        found.setdefault((price_book, model, ""), Line(price_book, model, ""))
    return [found[key] for key in sorted(found)]


def history(price_book: str, model: str, now: datetime) -> list[Line]:
    """The service tiers of one model, standard first. Two queries."""
    found = _lines(PriceVersion.objects.filter(price_book=price_book, model=model).select_related("created_by"), now)
    return [found[key] for key in sorted(found)]


def _lines(versions: QuerySet[PriceVersion], now: datetime) -> dict[Key, Line]:
    grouped: dict[Key, list[PriceVersion]] = {}
    for version in versions.prefetch_related("prices"):
        grouped.setdefault((version.price_book, version.model, version.service_tier), []).append(version)
    return {key: Line(*key, _dated(each, now)) for key, each in grouped.items()}


def _dated(versions: Sequence[PriceVersion], now: datetime) -> list[Dated]:
    by_hand_from = min((version.valid_from for version in versions if version.is_by_hand), default=None)
    newest_first = sorted(versions, key=lambda version: (version.valid_from, version.pk), reverse=True)
    return [_one(version, None if version.is_by_hand else by_hand_from, now) for version in newest_first]


def _one(version: PriceVersion, replaced_at: datetime | None, now: datetime) -> Dated:
    until = min((at for at in (version.valid_to, replaced_at) if at), default=None)
    if replaced_at and version.valid_from >= replaced_at:
        state = State.NEVER
    elif version.valid_from > now:
        state = State.SCHEDULED
    else:
        state = State.IN_FORCE if until is None or now < until else State.PAST
    return Dated(version, _price_list(version), until, state)


def _price_list(version: PriceVersion) -> PriceList:
    steps: dict[str, list[tuple[int, Decimal]]] = {}
    for price in version.prices.all():
        steps.setdefault(price.token_class, []).append((price.above_input_tokens, price.usd_per_million))
    return PriceList(steps)


def thresholds(price_lists: Iterable[PriceList]) -> list[int]:
    """Prompt lengths above which some class costs something else, without 0."""
    found = {above for prices in price_lists for steps in prices.prices.values() for above, _ in steps}
    return sorted(found - {0})
