"""What each of some teams spent this month and called today, each by its own calendar."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from accounts.models import Team
from usage.models import DayModelBucket, MonthKeyBucket
from usage.reports import measures
from usage.reports.span import day_of


@dataclass
class SoFar:
    """`unpriced_calls` are in the month's calls and not in its cost."""

    month_nano_usd: int = 0
    month_calls: int = 0
    unpriced_calls: int = 0
    calls_today: int = 0


def so_far(teams: Collection[Team], now: datetime) -> dict[int, SoFar]:
    """By team id; two queries, however many teams. One without calls is there too, with zeros."""
    found = {team.pk: SoFar() for team in teams}
    zone_of = {team.pk: team.time_zone for team in teams}
    if not found:
        return found
    months, days = Q(), Q()
    for zone in {team.time_zone: team.zone for team in teams}.values():
        local = now.astimezone(zone)
        months |= Q(zone=zone.key, month=local.year * 12 + local.month - 1)
        days |= Q(zone=zone.key, day=day_of(now, zone))
    month_rows = MonthKeyBucket.objects.filter(months, team_id__in=list(found)).order_by()
    summed = month_rows.values("zone", "team_id").annotate(
        cost=measures.COST, calls=measures.CALLS, unpriced=measures.UNPRICED
    )
    for row in summed:
        # A team's usage is kept by UTC too, and by the zones it had before.
        if zone_of[row["team_id"]] == row["zone"]:
            of_team = found[row["team_id"]]
            of_team.month_nano_usd, of_team.month_calls = int(row["cost"]), int(row["calls"])
            of_team.unpriced_calls = int(row["unpriced"])
    day_rows = DayModelBucket.objects.filter(days, team_id__in=list(found)).order_by()
    for today in day_rows.values("zone", "team_id").annotate(calls=measures.CALLS):
        if zone_of[today["team_id"]] == today["zone"]:
            found[today["team_id"]].calls_today = int(today["calls"])
    return found
