"""What would leave more headroom: told only where today's numbers show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import add

from django.db.models import F, Sum

from accounts.models import Team
from usage.models import OUTPUT_CLASSES, DayModelBucket
from usage.reports.span import day_of

# Fewer calls, or less of a difference, are no ground for advice.
LEAST_CALLS, LEAST_FACTOR = 20, 4


@dataclass(frozen=True)
class Advice:
    """A call that names no maximum holds `held` tokens for its answer; today's answers used `used` on average."""

    held: int
    used: int
    calls: int

    @property
    def used_width(self) -> str:
        return f"{max(1.0, 100 * self.used / self.held):.2f}%"

    @property
    def unused(self) -> float:
        return 1 - self.used / self.held


def of_team(team: Team, now: datetime) -> Advice | None:
    """One query, none for a team without a limit on tokens. Calls with more than one choice hold more than this says,
    and calls that name a maximum hold that."""
    if team.tier.tokens_per_minute is None:
        return None
    said = reduce(add, (F(f"{name}_tokens") for name in OUTPUT_CLASSES))
    rows = DayModelBucket.objects.filter(zone=team.zone.key, team_id=team.pk, day=day_of(now, team.zone))
    # Embeddings answer without a token and reserve none.
    sums = rows.filter(output_tokens__gt=0).aggregate(tokens=Sum(said), calls=Sum("ok_calls"))
    calls, held = int(sums["calls"] or 0), team.reserve_output_tokens
    used = round(int(sums["tokens"] or 0) / calls) if calls else 0
    if calls < LEAST_CALLS or used * LEAST_FACTOR > held:
        return None
    return Advice(held, used, calls)
