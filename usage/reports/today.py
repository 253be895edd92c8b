"""Today and this month so far, beside the same time a week and a month ago."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from usage.models import DayModelBucket, QuarterModelBucket
from usage.reports import measures
from usage.reports.span import Scope, day_number, day_of, midnight, same_day, slot_of

SUMS = ("cost", "calls", "tokens_in", "tokens_out", "failed", "refused")


@dataclass
class Sums:
    cost: int = 0
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    failed: int = 0
    refused: int = 0

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    @property
    def error_rate(self) -> float | None:
        return self.failed / self.calls if self.calls else None

    def add(self, row: dict[str, Any]) -> None:
        for name in SUMS:
            setattr(self, name, getattr(self, name) + int(row[name]))


@dataclass
class Curve:
    """One day by quarter hour, from its midnight; `so_far` is up to the present quarter hour, that one included."""

    first_slot: int
    length: int
    so_far: Sums = field(default_factory=Sums)
    slots: dict[int, Sums] = field(default_factory=dict)

    def values(self, name: str, until: int | None = None) -> list[int]:
        count = self.length if until is None else min(until, self.length)
        return [getattr(self.slots.get(self.first_slot + at), name, 0) for at in range(count)]


@dataclass
class Today:
    """`last_week` is the same weekday; its sums stop at the same time of day."""

    now: datetime
    position: int
    today: Curve
    last_week: Curve
    month_cost: int = 0
    # Up to the same day and time of the month before; None when nothing was recorded that long ago.
    last_month_cost: int | None = None
    # Cost by day of the month; last month's is whole.
    month_days: list[int] = field(default_factory=list)
    last_month_days: list[int] = field(default_factory=list)

    @property
    def knows_last_week(self) -> bool:
        return self.last_week.so_far.calls > 0


def so_far(scope: Scope, now: datetime) -> Today:
    """Two queries: quarter hours of three days, that of a month ago up to now, and the days of two months."""
    local = now.astimezone(scope.zone)
    today = day_of(now, scope.zone)
    month_ago = same_day(local.date(), -1)
    report = Today(local, 0, _curve(scope, today), _curve(scope, today - 7))
    report.position = min(slot_of(now) - report.today.first_slot, report.today.length - 1)
    rest_of_month_ago = _curve(scope, day_number(month_ago))
    rest_of_month_ago.length = min(report.position + 1, rest_of_month_ago.length)
    curves = (report.today, report.last_week, rest_of_month_ago)
    for row in _quarter_rows(scope, curves):
        for curve in curves:
            _place(row, curve, report.position)
    _add_months(report, scope, today, month_ago, rest_of_month_ago)
    return report


def _curve(scope: Scope, day: int) -> Curve:
    """A day has 92 or 100 quarter hours when the clocks change."""
    first = slot_of(midnight(day, scope.zone))
    return Curve(first, slot_of(midnight(day + 1, scope.zone)) - first)


def _quarter_rows(scope: Scope, curves: Sequence[Curve]) -> Any:
    """United, because SQLite looks through all of a team's quarter hours for any of several spans."""
    rows = QuarterModelBucket.objects.filter(team_id=scope.team_id).order_by()
    sums = {
        "cost": measures.COST,
        "calls": measures.CALLS,
        "tokens_in": measures.TOKENS_IN,
        "tokens_out": measures.TOKENS_OUT,
        "failed": measures.FAILED,
        "refused": measures.REFUSED,
    }
    days = [
        rows.filter(slot__gte=curve.first_slot, slot__lt=curve.first_slot + curve.length)
        .values("slot")
        .annotate(**sums)
        for curve in curves
    ]
    return days[0].union(*days[1:], all=True)


def _place(row: dict[str, Any], curve: Curve, position: int) -> None:
    at = row["slot"] - curve.first_slot
    if 0 <= at < curve.length:
        curve.slots.setdefault(row["slot"], Sums()).add(row)
        if at <= position:
            curve.so_far.add(row)


def _add_months(report: Today, scope: Scope, today: int, month_ago: date, rest: Curve) -> None:
    first, first_before = day_number(report.now.date().replace(day=1)), day_number(month_ago.replace(day=1))
    rows = DayModelBucket.objects.filter(
        zone=scope.zone.key, team_id=scope.team_id, day__gte=first_before, day__lte=today
    )
    costs = {row["day"]: int(row["cost"]) for row in rows.order_by().values("day").annotate(cost=measures.COST)}
    report.month_days = [costs.get(day, 0) for day in range(first, today + 1)]
    report.last_month_days = [costs.get(day, 0) for day in range(first_before, first)]
    report.month_cost = sum(report.month_days)
    whole_days = range(first_before, day_number(month_ago))
    if rest.so_far.calls or any(day in costs for day in whole_days):
        report.last_month_cost = rest.so_far.cost + sum(costs.get(day, 0) for day in whole_days)
