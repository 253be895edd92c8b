"""Calls that a limit refused, of the last day: the newest first, those of one key in one second together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from django.db.models import Q

from usage.models import QUARTER_S, QuarterModelBucket, UsageEvent
from usage.reports import call_filter, calls
from usage.reports.span import Scope, slot_of

SHOWN_FOR = timedelta(hours=24)
GROUPS_A_PAGE = 20
# However many are refused in a second, a page reads no more rows than this.
MOST_ROWS = 1_000
COLUMNS = ("id", "started_at", "team_id", "key_id", "requested_model", "refusal", "key__name")


@dataclass
class Group:
    """Calls of one key that the same limit refused in one second."""

    calls: list[UsageEvent] = field(default_factory=list)

    @property
    def newest(self) -> UsageEvent:
        return self.calls[0]

    @property
    def refusal(self) -> dict[str, Any]:
        """Of the newest of them."""
        return self.newest.refusal or {}

    @property
    def fits_at(self) -> datetime | None:
        wait_ms = self.refusal.get("retry_after_ms")
        return None if wait_ms is None else self.newest.started_at + timedelta(milliseconds=wait_ms)


@dataclass(frozen=True)
class Page:
    groups: Sequence[Group]
    older_than: UUID | None


def page(scope: Scope, owner_id: int | None, now: datetime, older_than: UUID | None = None) -> Page:
    """One query."""
    rows = calls.visible(scope, owner_id).select_related("key").only(*COLUMNS)
    rows = rows.filter(~Q(outcome="ok"), outcome="refused", id__gte=call_filter.first_id(now - SHOWN_FOR))
    if older_than is not None:
        rows = rows.filter(id__lt=older_than)
    read = list(rows[: MOST_ROWS + 1])
    seconds = [list(together) for _second, together in groupby(read[:MOST_ROWS], key=_second)]
    is_cut = len(read) > MOST_ROWS
    if is_cut and len(seconds) > 1:
        # Of which more may come: it is for the next page.
        seconds.pop()
    shown: list[Group] = []
    for place, together in enumerate(seconds):
        shown += _groups(together)
        is_last = place + 1 == len(seconds)
        if len(shown) >= GROUPS_A_PAGE or is_last:
            # A page ends with a second, so that no row is between two pages.
            return Page(shown, None if is_last and not is_cut else together[-1].id)
    return Page(shown, None)


def by_minute(scope: Scope, since: datetime) -> dict[str, dict[int, int]]:
    """Limit of the team -> minutes after `since` -> how many it refused, of the newest MOST_ROWS. One query."""
    rows = calls.visible(scope, None).filter(~Q(outcome="ok"), outcome="refused", id__gte=call_filter.first_id(since))
    found: dict[str, dict[int, int]] = {}
    for started_at, refusal in rows.values_list("started_at", "refusal")[:MOST_ROWS]:
        if refusal is not None and refusal.get("scope") == "team":
            minute = int((started_at - since).total_seconds()) // 60
            of_limit = found.setdefault(refusal["limit_name"], {})
            of_limit[minute] = of_limit.get(minute, 0) + 1
    return found


def count(scope: Scope, now: datetime) -> int:
    """Of the whole scope in the last day, to the quarter hour. One query."""
    since = slot_of(now) - int(SHOWN_FOR.total_seconds()) // QUARTER_S
    rows = QuarterModelBucket.objects.filter(team_id=scope.team_id, slot__gt=since, refused_calls__gt=0)
    return sum(rows.values_list("refused_calls", flat=True))


def _second(row: UsageEvent) -> int:
    return int(row.started_at.timestamp())


def _groups(rows: Sequence[UsageEvent]) -> Sequence[Group]:
    """Of one second, in the order of their newest calls."""
    groups: dict[tuple[Any, ...], Group] = {}
    for row in rows:
        refusal = row.refusal or {}
        alike = (row.key_id, refusal.get("scope"), refusal.get("limit_name"))
        groups.setdefault(alike, Group()).calls.append(row)
    return list(groups.values())
