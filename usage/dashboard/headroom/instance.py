"""The teams of the instance, the nearest to a limit first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from accounts.models import Team
from accounts.policy import Standing
from usage import headroom
from usage.dashboard import gauges
from usage.dashboard.frame import on_instance
from usage.dashboard.gauges import Bar
from usage.dashboard.headroom.page import LONGEST_SEARCH
from usage.reports import minutes
from usage.reports.minutes import Use

MOST_ROWS = 50


@dataclass(frozen=True)
class Row:
    team: Team
    bars: Sequence[Bar]
    use: Use

    @property
    def nearest(self) -> float:
        return max((bar.share or 0 for bar in self.bars), default=0.0)


@on_instance
def page(request: HttpRequest, standing: Standing) -> HttpResponse:
    return render(request, "dashboard/headroom_page/instance.html", _context(request))


@on_instance
def live(request: HttpRequest, standing: Standing) -> HttpResponse:
    """Asked every second: the order of the rows moves too."""
    return render(request, "dashboard/headroom_page/instance_live.html", _context(request))


def _context(request: HttpRequest) -> dict[str, Any]:
    """Two queries."""
    now = timezone.now()
    search = request.GET.get("find", "").replace("\0", "").strip()[:LONGEST_SEARCH]
    rows = _rows(search, now)
    return {
        "now": now,
        "zone": timezone.get_default_timezone(),
        "rows": rows[:MOST_ROWS],
        "more": max(0, len(rows) - MOST_ROWS),
        "search": search,
        "here": reverse("instance-headroom"),
        "limit_names": list(gauges.names().values()),
        "is_live": headroom.up_since() is not None,
        "links": {"live": f"{reverse('instance-headroom-live')}?{urlencode({'find': search})}"},
        "pulse": "",
    }


def _rows(search: str, now: datetime) -> list[Row]:
    teams = Team.objects.select_related("tier").filter(archived_at=None)
    if search:
        teams = teams.filter(name__icontains=search)
    used = minutes.busiest_teams(now)
    rows = [Row(team, gauges.of_team(team), used.get(team.pk) or Use()) for team in teams]
    return sorted(rows, key=lambda row: (-row.nearest, -row.use.refused_sum, -row.use.token_sum, row.team.name))
