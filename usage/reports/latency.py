"""Percentiles from log-scale bins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Sum

from usage.models import LatencyBucket
from usage.reports.span import Scope, day_of

BINS_AN_OCTAVE = 4
DAYS_SHOWN = 14
KINDS: tuple[str, ...] = tuple(LatencyBucket.Kind.values)


@dataclass
class Pace:
    """Microseconds, today; None when no call was measured. `p95_by_day` ends with today and leaves out empty days."""

    p50_us: int | None = None
    p95_us: int | None = None
    p95_last_week_us: int | None = None
    p95_by_day: list[int] = field(default_factory=list)


def recent(scope: Scope, now: datetime) -> dict[str, Pace]:
    """By kind: "latency" and "ttft". One query over two weeks."""
    today = day_of(now, scope.zone)
    rows = LatencyBucket.objects.filter(
        zone=scope.zone.key, team_id=scope.team_id, day__gt=today - DAYS_SHOWN, day__lte=today
    )
    bins: defaultdict[tuple[str, int], dict[int, int]] = defaultdict(dict)
    for row in rows.order_by().values("kind", "day", "bin").annotate(sum=Sum("calls")):
        bins[row["kind"], row["day"]][row["bin"]] = int(row["sum"])
    return {
        kind: _pace({day: bins[kind, day] for day in range(today - DAYS_SHOWN + 1, today + 1)}, today) for kind in KINDS
    }


def _pace(bins_by_day: Mapping[int, Mapping[int, int]], today: int) -> Pace:
    p95_by_day = {day: percentile(bins, 0.95) for day, bins in bins_by_day.items()}
    return Pace(
        p50_us=percentile(bins_by_day[today], 0.50),
        p95_us=p95_by_day[today],
        p95_last_week_us=p95_by_day[today - 7],
        p95_by_day=[p95 for p95 in p95_by_day.values() if p95 is not None],
    )


def percentile(calls_by_bin: Mapping[int, int], share: float) -> int | None:
    """Within its bin the share is placed evenly on the log scale, so the error is below a fifth of the value."""
    wanted = sum(calls_by_bin.values()) * share
    for number in sorted(calls_by_bin):
        calls = calls_by_bin[number]
        if calls and wanted <= calls:
            return round(2 ** ((number + wanted / calls) / BINS_AN_OCTAVE))
        wanted -= calls
    return None
