"""What keys cost: of all keys of a team at a glance, and of one by day and by model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from operator import add
from typing import Any

from django.db.models import F, Q, Sum

from accounts.models import ApiKey
from usage.models import DayKeyBucket, MonthKeyBucket, Outcome, UsageEvent
from usage.reports import calls, measures
from usage.reports.span import Range, Scope, Span, day_of, month_began, span_of

DAYS_SHOWN = 30


@dataclass(frozen=True)
class Use:
    """Cost in nano-USD since the first of the month, and calls of the last 30 days, on the scope's calendar."""

    cost_this_month: int = 0
    calls: int = 0


def use_of_each(scope: Scope, key_ids: Collection[int], now: datetime) -> dict[int, Use]:
    """By key id; a key that was not used is not in it. One query, which reads only these keys' days."""
    today = day_of(now, scope.zone)
    month, recent = month_began(today), today - DAYS_SHOWN + 1
    rows = DayKeyBucket.objects.filter(
        zone=scope.zone.key, team_id=scope.team_id, key_id__in=key_ids, day__gte=min(month, recent)
    )
    sums = rows.order_by().values("key_id")
    found = sums.annotate(cost=Sum("cost_nano_usd", filter=Q(day__gte=month)), calls=_calls_since(recent))
    return {row["key_id"]: Use(int(row["cost"] or 0), int(row["calls"] or 0)) for row in found}


def cost_this_month(scope: Scope, now: datetime) -> dict[int, int]:
    """Nano-USD of all keys of the team, to rank them by. One query, of a row for each key and model."""
    local = now.astimezone(scope.zone)
    rows = MonthKeyBucket.objects.filter(
        zone=scope.zone.key, month=local.year * 12 + local.month - 1, team_id=scope.team_id
    )
    return {row["key_id"]: int(row["cost"]) for row in rows.order_by().values("key_id").annotate(cost=measures.COST)}


@dataclass
class ModelUse:
    """One model's part of a key's calls in the span shown."""

    model: str
    cost: int = 0
    tokens: int = 0
    calls: int = 0


@dataclass
class KeyUse:
    """One key: the last 30 days, the month so far, and the 30 days before. Lists hold a value for each day."""

    span: Span
    cost: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    models: list[ModelUse] = field(default_factory=list)
    cost_this_month: int = 0
    cost_before: int = 0
    unpriced_calls: int = 0

    @property
    def total(self) -> int:
        return sum(self.cost)

    @property
    def call_sum(self) -> int:
        return sum(self.calls)

    @property
    def today(self) -> int:
        return self.cost[-1]


def use_of(scope: Scope, key_id: int, now: datetime) -> KeyUse:
    """One query over twice the span."""
    span = span_of(Range.MONTH, now, scope.zone)
    found = KeyUse(span, cost=[0] * span.length, tokens=[0] * span.length, calls=[0] * span.length)
    month = month_began(day_of(now, scope.zone))
    models: dict[str, ModelUse] = {}
    rows = DayKeyBucket.objects.filter(
        zone=scope.zone.key, team_id=scope.team_id, key_id=key_id, day__gte=min(month, span.before.first)
    )
    sums = rows.order_by().values("day", "model")
    for row in sums.annotate(
        cost=measures.COST, tokens=measures.TOKENS, calls=measures.CALLS, unpriced=measures.UNPRICED
    ):
        if row["day"] >= month:
            found.cost_this_month += int(row["cost"])
        if row["day"] < span.first:
            found.cost_before += int(row["cost"])
        else:
            _add(found, models, row)
    found.models = sorted(models.values(), key=lambda model: (-model.cost, -model.calls, model.model))
    return found


def latest_calls(key: ApiKey, count: int) -> Sequence[UsageEvent]:
    """One query, by the index of the key's calls."""
    events = UsageEvent.objects.filter(key_id=key.pk).order_by("-id").select_related("key", "team")
    return list(events.only(*calls.COLUMNS)[:count])


def _add(found: KeyUse, models: dict[str, ModelUse], row: Any) -> None:
    position = found.span.position(row["day"])
    of_model = models.setdefault(row["model"], ModelUse(row["model"]))
    for name, days in (("cost", found.cost), ("tokens", found.tokens), ("calls", found.calls)):
        days[position] += int(row[name])
        setattr(of_model, name, getattr(of_model, name) + int(row[name]))
    found.unpriced_calls += int(row["unpriced"])


def _calls_since(day: int) -> Any:
    return Sum(reduce(add, (F(f"{outcome}_calls") for outcome in Outcome.values)), filter=Q(day__gte=day))
