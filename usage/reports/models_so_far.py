"""Spend by model today and this month so far, on the scope's own calendar: what `GET /v1/me` tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from usage.models import DayModelBucket
from usage.reports import measures
from usage.reports.span import Scope, date_of, day_of


@dataclass
class ModelSpend:
    model: str
    calls: int = 0
    refused_calls: int = 0
    unpriced_calls: int = 0
    tokens: int = 0
    cost_nano_usd: int = 0


@dataclass
class Spend:
    """Since `first_day`; `models` by name. A cost leaves out the `unpriced_calls`, whose price is unknown."""

    first_day: date
    models: dict[str, ModelSpend] = field(default_factory=dict)

    def total(self, name: str) -> int:
        return sum(getattr(spend, name) for spend in self.models.values())

    def add(self, row: Mapping[str, Any]) -> None:
        spend = self.models.setdefault(row["model"], ModelSpend(row["model"]))
        spend.calls += int(row["all_calls"]) - int(row["refused"])
        spend.refused_calls += int(row["refused"])
        spend.unpriced_calls += int(row["unpriced"])
        spend.tokens += int(row["tokens"])
        spend.cost_nano_usd += int(row["cost"])


def today_and_month(scope: Scope, now: datetime) -> tuple[Spend, Spend]:
    """One query over the days of the month."""
    today_number = day_of(now, scope.zone)
    today_date = date_of(today_number)
    today, month = Spend(today_date), Spend(today_date.replace(day=1))
    first_number = today_number - today_date.day + 1
    days = DayModelBucket.objects.filter(
        zone=scope.zone.key, team_id=scope.team_id, day__gte=first_number, day__lte=today_number
    )
    sums = (
        days.order_by("model")
        .values("day", "model")
        .annotate(
            all_calls=measures.CALLS,
            refused=measures.REFUSED,
            unpriced=measures.UNPRICED,
            tokens=measures.TOKENS,
            cost=measures.COST,
        )
    )
    for row in sums:
        month.add(row)
        if row["day"] == today_number:
            today.add(row)
    return today, month
