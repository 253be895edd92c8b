"""The receipt of one call: what happened, what it cost and how that was computed; also as JSON."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse

from accounts.policy import Action, Standing
from usage.dashboard import timeline, windows
from usage.dashboard.calls import errors
from usage.dashboard.calls.listing import owner_of
from usage.dashboard.frame import in_team
from usage.models import UsageEvent
from usage.reports import call_filter, calls, colours, receipt_record, refused
from usage.reports.calls import Receipt
from usage.reports.span import scope_of

AROUND = timedelta(minutes=1)


@in_team(Action.SEE_OWN_CALLS)
def page(request: HttpRequest, standing: Standing, request_id: str) -> HttpResponse:
    found = _found(standing, request_id)
    event, attempts = found.event, found.attempts
    models = [event.requested_model, event.served_model, *(each.model for each in attempts)]
    zone = scope_of(standing.team).zone
    context = {
        "receipt": found,
        "call": event,
        "timeline": timeline.of_call(event, attempts),
        "is_fallback": len(attempts) > 1 and event.served_model != event.requested_model,
        "went_wrong": errors.sentence(event),
        "window": windows.parts(event.refusal, windows.names_of(windows.keys_in([event.refusal]), standing)),
        "fits_at": refused.Group([event]).fits_at,
        "price_query": _price_query(event),
        "around": _around(event, zone),
        "zone": zone,
        "colours": colours.of(models),
    }
    return render(request, "dashboard/receipt.html", context)


@in_team(Action.SEE_OWN_CALLS)
def as_json(request: HttpRequest, standing: Standing, request_id: str) -> HttpResponse:
    found = _found(standing, request_id)
    answer = JsonResponse(receipt_record.of(found), json_dumps_params={"indent": 2, "ensure_ascii": False})
    answer["Content-Disposition"] = f'attachment; filename="{found.event.request_id}.json"'
    return answer


def _found(standing: Standing, request_id: str) -> Receipt:
    own_id = call_filter.own_id(request_id)
    found = calls.receipt(scope_of(standing.team), owner_of(standing), own_id) if own_id else None
    if found is None:
        raise Http404
    return found


def _around(event: UsageEvent, zone: Any) -> str:
    """The calls of the same key from a minute before it to a minute after."""
    if event.key_id is None:
        return ""
    since, until = (event.started_at + shift for shift in (-AROUND, AROUND))
    times = {
        "since": f"{since.astimezone(zone):%Y-%m-%dT%H:%M:%S}",
        "until": f"{until.astimezone(zone):%Y-%m-%dT%H:%M:%S}",
    }
    return f"{reverse('calls', args=[event.team_id])}?{urlencode({'key': event.key_id, **times})}"


def _price_query(event: UsageEvent) -> str:
    """Where the price book shows this price and its history."""
    version = event.price_version
    if version is None:
        return ""
    return urlencode({"book": version.price_book, "model": version.model, "tier": version.service_tier})
