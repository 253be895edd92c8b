"""Single calls: the newest, a page further back, and the receipt of one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from accounts.models import ApiKey
from usage import pricing
from usage.models import Price, TokenClass, UsageAttempt, UsageEvent
from usage.reports.span import Scope

A_PAGE = 50
COLUMNS = (
    "id", "started_at", "team_id", "key_id", "requested_model", "served_model", "streamed", "status", "outcome",
    "error_code", "latency_us", "ttft_us", "cost_nano_usd", "origin",
    "input_tokens", "cached_tokens", "cache_write_tokens", "audio_input_tokens",
    "output_tokens", "reasoning_tokens", "audio_output_tokens",
    "key__name", "team__name",
)  # fmt: skip


@dataclass(frozen=True)
class CallPage:
    calls: Sequence[UsageEvent]
    # Ask for the calls before this one; None at the end.
    older_than: UUID | None


def visible(scope: Scope, owner_id: int | None) -> QuerySet[UsageEvent]:
    """The calls of a team, or of the instance; with `owner_id`, only those made with that user's keys."""
    events = UsageEvent.objects.order_by("-id")
    if not scope.is_instance:
        events = events.filter(team_id=scope.team_id)
    if owner_id is not None:
        events = events.filter(
            key_id__in=ApiKey.objects.filter(team_id=scope.team_id, created_by=owner_id).values("pk")
        )
    return events


def newest(scope: Scope, owner_id: int | None, count: int, older_than: UUID | None = None) -> CallPage:
    """By id, which is also the time: a page costs the same however far back. One query."""
    events = visible(scope, owner_id).select_related("key", "team").only(*COLUMNS)
    if older_than:
        events = events.filter(id__lt=older_than)
    found = list(events[: count + 1])
    return CallPage(found[:count], found[count - 1].id if len(found) > count else None)


def has_any(scope: Scope) -> bool:
    return visible(scope, None).exists()


@dataclass(frozen=True)
class Line:
    """One token class on a receipt. `usd_per_million` is None where the price is not known."""

    token_class: str
    tokens: int
    usd_per_million: Decimal | None
    cost_nano_usd: int | None


@dataclass(frozen=True)
class Receipt:
    event: UsageEvent
    lines: Sequence[Line]
    attempts: Sequence[UsageAttempt]

    @property
    def tokens(self) -> int:
        return sum(line.tokens for line in self.lines)


def receipt(scope: Scope, owner_id: int | None, request_id: UUID) -> Receipt | None:
    """None when there is no such call, or it is not this user's to see. Three queries."""
    events = visible(scope, owner_id).select_related("key", "team", "price_version")
    event = events.filter(pk=request_id).first()
    if event is None:
        return None
    return Receipt(event, _lines(event), list(event.attempts.order_by("position")))


def _lines(event: UsageEvent) -> list[Line]:
    """The classes that were used, each at the price that applied to a prompt of this length."""
    prices: defaultdict[str, list[tuple[int, Decimal]]] = defaultdict(list)
    for price in Price.objects.filter(version_id=event.price_version_id):
        prices[price.token_class].append((price.above_input_tokens, price.usd_per_million))
    price_list = pricing.PriceList(prices)
    lines = []
    for token_class in TokenClass.values:
        tokens, cost = getattr(event, f"{token_class}_tokens"), getattr(event, f"{token_class}_cost_nano_usd")
        if tokens or cost:
            unit_price = price_list.usd_per_million(token_class, event.prompt_tokens or 0)
            lines.append(Line(token_class, tokens or 0, unit_price, cost))
    return lines


def called_since(key_ids: Sequence[int]) -> set[int]:
    """Which of these keys have made a call. One query."""
    calls = UsageEvent.objects.filter(key_id=OuterRef("pk"))
    return set(ApiKey.objects.filter(pk__in=key_ids).filter(Exists(calls)).values_list("pk", flat=True))
