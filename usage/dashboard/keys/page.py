"""A key's own page: its secrets, what narrows it, how near it is to its limits, what it costs, what was done to it."""

from __future__ import annotations

import csv
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from accounts import keys
from accounts.models import ApiKey
from accounts.policy import Action, Standing
from usage.dashboard import gauges
from usage.dashboard.frame import in_team
from usage.dashboard.keys import states, story
from usage.dashboard.keys.visible import find
from usage.reports import colours
from usage.reports.keys import latest_calls, use_of
from usage.reports.span import scope_of

LATEST_CALLS = 8
MOST_ENTRIES = 30
NANO_A_USD = 1_000_000_000


@in_team(Action.MANAGE_OWN_KEYS)
def page(request: HttpRequest, standing: Standing, key_id: int) -> HttpResponse:
    key, now = find(standing, key_id), timezone.now()
    scope = scope_of(standing.team)
    use, latest = use_of(scope, key.pk, now), latest_calls(key, LATEST_CALLS)
    models = {*(model.model for model in use.models), *(call.served_model for call in latest), *key.allowed_models}
    context = {
        **_live(key, now),
        "use": use,
        "calls": latest,
        "colours": colours.of(models),
        "trail": story.of_entries(keys.trail(key, MOST_ENTRIES)),
        "zone": scope.zone,
        "links": _links(key),
    }
    return render(request, "dashboard/keys/page.html", context)


@in_team(Action.MANAGE_OWN_KEYS)
def live(request: HttpRequest, standing: Standing, key_id: int) -> HttpResponse:
    """Asked every second: the parts that move, without the buttons, so that no click falls between two of them.

    A rotation that is over takes its block away. One that began is left to the next visit: it may be this very window
    that shows its secret.
    """
    key = find(standing, key_id)
    context, was_rotating = _live(key, timezone.now()), request.GET.get("state") == states.ROTATING
    context["moves_rotation"] = was_rotating and context["rotation"] is not None
    answer = render(request, "dashboard/keys/live.html", context | {"state": request.GET.get("state", "")[:10]})
    if was_rotating and context["rotation"] is None:
        answer["HX-Refresh"] = "true"
    return answer


@in_team(Action.MANAGE_OWN_KEYS)
def days_csv(request: HttpRequest, standing: Standing, key_id: int) -> HttpResponse:
    """The chart's numbers: a row for each day. Cost in full, to the nano-dollar."""
    key = find(standing, key_id)
    use = use_of(scope_of(standing.team), key.pk, timezone.now())
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{key.public_id}-days.csv"'
    write = csv.writer(answer)
    write.writerow(["start", "cost_usd", "tokens", "calls"])
    for start, cost, tokens, calls in zip(use.span.starts(), use.cost, use.tokens, use.calls, strict=True):
        write.writerow([start.isoformat(), f"{cost // NANO_A_USD}.{cost % NANO_A_USD:09}", tokens, calls])
    return answer


def _live(key: ApiKey, now: datetime) -> dict[str, Any]:
    rotation, bars = states.rotation_of(key, now), gauges.of_key(key)
    return {
        "key": key,
        "now": now,
        "state": states.of_key(key, now, is_rotating=rotation is not None),
        "rotation": rotation,
        "secret_lines": states.secret_lines(key, now),
        "limits": states.effective_limits(key, key.team.tier, bars),
        "has_bars": bool(bars),
    }


def _links(key: ApiKey) -> dict[str, str]:
    """Where this key's part of other pages is; a page that is not there has no link."""
    wanted: dict[str, tuple[str, dict[str, object]]] = {
        "calls": ("calls", {"key": key.pk}),
        "explorer": ("explorer", {"group": "model", "key": key.pk}),
    }
    links = {}
    for name, (page_name, query) in wanted.items():
        try:
            links[name] = f"{reverse(page_name, args=[key.team_id])}?{urlencode(query)}"
        except NoReverseMatch:
            continue
    return links
