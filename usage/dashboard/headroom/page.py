"""How far a team and its keys are from their next refusal, live; what was refused, and why."""

from __future__ import annotations

import csv
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from accounts.models import Team
from accounts.policy import Action, Standing
from usage import headroom
from usage.dashboard import gauges, windows
from usage.dashboard.calls.listing import owner_of
from usage.dashboard.frame import in_team
from usage.dashboard.headroom import advice, hour, keys
from usage.reports import call_filter, minutes, refused
from usage.reports.span import scope_of

LONGEST_SEARCH = 100


@in_team(Action.SEE_USAGE)
def page(request: HttpRequest, standing: Standing) -> HttpResponse:
    """`?find=` names a key, `?before=req_...` goes on with older refusals."""
    return render(request, "dashboard/headroom_page/page.html", _everything(request, standing, timezone.now()))


@in_team(Action.SEE_USAGE)
def live(request: HttpRequest, standing: Standing) -> HttpResponse:
    """Asked every second. Gauges always move; the rest is drawn again only when something was recorded or a minute
    went by."""
    now, team = timezone.now(), _team(standing)
    seen = request.GET.get("seen", "")
    if seen != minutes.pulse(scope_of(team), now):
        context = _everything(request, standing, now)
        return render(request, "dashboard/headroom_page/live.html", context | {"has_changed": True})
    last_hour = minutes.last_hour(scope_of(team), now, headroom.up_since())
    context = _frame(request, team, now) | {"pulse": seen, "keys": keys.of_team(standing, last_hour, _search(request))}
    return render(request, "dashboard/headroom_page/live.html", context)


@in_team(Action.SEE_USAGE)
def minutes_csv(request: HttpRequest, standing: Standing) -> HttpResponse:
    """The chart's numbers: a row a minute. What is unknown is empty."""
    team = _team(standing)
    drawn = hour.of_team(team, standing, timezone.now())
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="headroom-team-{team.pk}.csv"'
    write = csv.writer(answer)
    write.writerow(["start", "requests", "tokens", "concurrent", "refused"])
    for minute in drawn.minutes():
        numbers = (
            [minute.calls, minute.tokens, f"{minute.at_once:.3f}", minute.refused] if minute.is_known else [""] * 4
        )
        write.writerow([minute.start.astimezone(team.zone).isoformat(timespec="minutes"), *numbers])
    return answer


def _everything(request: HttpRequest, standing: Standing, now: datetime) -> dict[str, Any]:
    team = _team(standing)
    scope = scope_of(team)
    drawn = hour.of_team(team, standing, now)
    found = refused.page(scope, owner_of(standing), now, _before(request)) if standing.sees_calls else None
    refusals = [group.refusal for group in found.groups] if found else []
    return {
        **_frame(request, team, now),
        "pulse": minutes.pulse(scope, now),
        "drawn": drawn,
        "keys": keys.of_team(standing, drawn.hour, _search(request)),
        "advice": advice.of_team(team, now),
        "refusals": found,
        "key_names": windows.names_of(windows.keys_in(refusals), standing),
        "refused_count": refused.count(scope, now),
        "is_older": "before" in request.GET,
    }


def _frame(request: HttpRequest, team: Team, now: datetime) -> dict[str, Any]:
    search = _search(request)
    here = reverse("headroom", args=[team.pk])
    kept = {name: value for name, value in (("find", search), ("before", request.GET.get("before", ""))) if value}
    return {
        "now": now,
        "zone": scope_of(team).zone,
        "search": search,
        "here": here,
        "gauges": list(zip(hour.NAMES, gauges.of_team(team), strict=True)),
        "is_live": headroom.up_since() is not None,
        "links": {
            "live": f"{reverse('headroom-live', args=[team.pk])}?{urlencode(kept)}",
            "csv": reverse("headroom-csv", args=[team.pk]),
            "refusals": f"{reverse('calls', args=[team.pk])}?outcome=refused",
        },
    }


def _team(standing: Standing) -> Team:
    if standing.team is None:
        raise Http404
    return standing.team


def _search(request: HttpRequest) -> str:
    return request.GET.get("find", "").replace("\0", "").strip()[:LONGEST_SEARCH]


def _before(request: HttpRequest) -> UUID | None:
    """What is no id begins at the newest."""
    return call_filter.own_id(request.GET.get("before", ""))
