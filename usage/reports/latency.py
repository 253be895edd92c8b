"""Percentiles from log-scale bins."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate

from usage.models import ANY, BIN_COLUMNS, BINS_AN_OCTAVE, FIRST_BIN, LatencyBucket
from usage.reports.span import Scope, day_of

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
        zone=scope.zone.key,
        team_id=scope.team_id,
        kind__in=KINDS,
        model=ANY,
        day__gt=today - DAYS_SHOWN,
        day__lte=today,
    )
    columns = rows.order_by().values_list("kind", "day", *BIN_COLUMNS)
    bins: dict[tuple[str, int], list[int]] = {(kind, day): calls for kind, day, *calls in columns}
    return {
        kind: _pace({day: bins.get((kind, day), []) for day in range(today - DAYS_SHOWN + 1, today + 1)}, today)
        for kind in KINDS
    }


def _pace(bins_by_day: Mapping[int, Sequence[int]], today: int) -> Pace:
    p95_by_day = {day: percentile(bins, 0.95) for day, bins in bins_by_day.items()}
    return Pace(
        p50_us=percentile(bins_by_day[today], 0.50),
        p95_us=p95_by_day[today],
        p95_last_week_us=p95_by_day[today - 7],
        p95_by_day=[p95 for p95 in p95_by_day.values() if p95 is not None],
    )


def percentile(calls: Sequence[int], share: float, first_bin: int = FIRST_BIN) -> int | None:
    """Of calls by bin. Within its bin the share is placed evenly on the log scale, so the error is below a fifth of the
    value."""
    up_to = list(accumulate(calls))
    if not up_to or not up_to[-1]:
        return None
    wanted = up_to[-1] * share
    place = bisect_left(up_to, wanted)
    within = (wanted - up_to[place] + calls[place]) / calls[place]
    return round(2 ** ((first_bin + place + within) / BINS_AN_OCTAVE))
