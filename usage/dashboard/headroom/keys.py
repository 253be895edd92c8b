"""The keys of the headroom page: those with limits of their own or used in the last hour, the busiest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q

from accounts.models import ApiKey
from accounts.policy import Action, Standing
from usage.dashboard import formats, gauges
from usage.dashboard.gauges import Bar
from usage.reports.minutes import Hour, Use

MOST_ROWS = 25
LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")


@dataclass(frozen=True)
class Row:
    """`bars`: one for each limit, None where the key has none of its own."""

    key: ApiKey
    bars: Sequence[Bar | None]
    use: Use
    token_share: float | None

    @property
    def share_text(self) -> str:
        return formats.percent(self.token_share).replace(".0%", "%")

    @property
    def nearest(self) -> float:
        return max((bar.share or 0 for bar in self.bars if bar is not None), default=0.0)


@dataclass(frozen=True)
class Shown:
    rows: Sequence[Row]
    more: int
    has_own_limits: bool


def of_team(standing: Standing, hour: Hour, search: str) -> Shown:
    """At most one query. Searched for, a key is shown whatever it does."""
    if standing.team is None or not standing.sees_keys:
        return Shown([], 0, False)
    used = {use.key_id: use for use in hour.keys if use.key_id}
    keys = ApiKey.objects.filter(team=standing.team, revoked_at=None)
    if not standing.may(Action.MANAGE_ALL_KEYS):
        keys = keys.filter(created_by=standing.user)
    if search:
        keys = keys.filter(name__icontains=search)
    else:
        has_limit = Q(*((f"{name}__isnull", False) for name in LIMITS), _connector=Q.OR)
        keys = keys.filter(has_limit | Q(pk__in=list(used)))
    found = sorted(keys, key=lambda key: _place(key, used.get(key.pk)))
    rows = [_row(key, used.get(key.pk), hour) for key in found[:MOST_ROWS]]
    return Shown(rows, len(found) - len(rows), any(bar for row in rows for bar in row.bars))


def _place(key: ApiKey, use: Use | None) -> tuple[int, int, str, int]:
    return -(use.token_sum if use else 0), -(use.call_sum if use else 0), key.name, key.pk


def _row(key: ApiKey, use: Use | None, hour: Hour) -> Row:
    own = {bar.name: bar for bar in gauges.of_key(key)}
    bars = [own.get(name) for name in gauges.names().values()]
    use = use or Use(key.pk)
    all_tokens = hour.total.token_sum
    return Row(key, bars, use, use.token_sum / all_tokens if all_tokens else None)
