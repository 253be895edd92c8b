"""What providers and models were used for in the last thirty days, by the instance's calendar."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from usage.models import DayModelBucket
from usage.reports import measures
from usage.reports.span import INSTANCE, day_of

DAYS = 30


@dataclass(frozen=True)
class Use:
    """`cost_nano_usd` leaves out the `unpriced_calls`, whose cost is unknown."""

    calls: int = 0
    failed_calls: int = 0
    unpriced_calls: int = 0
    cost_nano_usd: int = 0

    @property
    def error_rate(self) -> float | None:
        return self.failed_calls / self.calls if self.calls else None


NO_USE = Use()


def by_provider(now: datetime) -> dict[str, Use]:
    """One query. Calls that were refused went to no provider."""
    return _by("provider", now)


def by_model(now: datetime) -> dict[str, Use]:
    """By the name under which it answered. One query."""
    return _by("model", now)


def _by(column: str, now: datetime) -> dict[str, Use]:
    today = day_of(now, INSTANCE.zone)
    rows = DayModelBucket.objects.filter(
        zone=INSTANCE.zone.key, team_id=INSTANCE.team_id, day__gt=today - DAYS, day__lte=today
    )
    sums = rows.order_by().values(column).annotate(
        all_calls=measures.CALLS, failed=measures.FAILED, unpriced=measures.UNPRICED, cost=measures.COST
    )  # fmt: skip
    return {
        row[column]: Use(int(row["all_calls"]), int(row["failed"]), int(row["unpriced"]), int(row["cost"]))
        for row in sums
    }
