"""Has anything been recorded since? Asked every second by open pages, so it reads a handful of rows."""

from __future__ import annotations

from datetime import datetime

from usage.models import DayModelBucket
from usage.reports import measures
from usage.reports.span import Scope, day_of, slot_of


def of(scope: Scope, now: datetime) -> str:
    """A word that changes with every recorded call, and each quarter hour, when comparisons move on.

    Not the newest event's id: ids follow the start of a call, and a long call that began first may be recorded last.
    """
    today = day_of(now, scope.zone)
    rows = DayModelBucket.objects.filter(
        zone=scope.zone.key, team_id=scope.team_id, day__gte=today - 1, day__lte=today + 1
    )
    sums = rows.aggregate(calls=measures.CALLS, cost=measures.COST)
    return f"{slot_of(now)}-{int(sums['calls'])}-{int(sums['cost'])}"
