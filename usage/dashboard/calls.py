"""The call list and the receipt of one call."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from accounts.policy import Action, Standing
from usage.dashboard import timeline
from usage.dashboard.frame import in_team, on_instance
from usage.reports import calls, colours
from usage.reports.span import scope_of

PREFIX = "req_"


def call_list(request: HttpRequest, standing: Standing) -> HttpResponse:
    """The newest first; `?before=req_...` goes on from there."""
    scope = scope_of(standing.team)
    before = request.GET.get("before")
    page = calls.newest(scope, _owner(standing), calls.A_PAGE, _read_id(before) if before else None)
    here = reverse("calls", args=[standing.team.pk]) if standing.team else reverse("instance-calls")
    shown = colours.of(call.served_model for call in page.calls)
    context = {"page": page, "zone": scope.zone, "colours": shown, "here": here, "is_older": bool(before)}
    return render(request, "dashboard/calls.html", context)


@in_team(Action.SEE_OWN_CALLS)
def receipt(request: HttpRequest, standing: Standing, request_id: str) -> HttpResponse:
    scope = scope_of(standing.team)
    found = calls.receipt(scope, _owner(standing), _read_id(request_id))
    if found is None:
        raise Http404
    event, attempts = found.event, found.attempts
    context = {
        "receipt": found,
        "call": event,
        "timeline": timeline.of_call(event, attempts),
        "is_fallback": len(attempts) > 1 and event.served_model != event.requested_model,
        "zone": scope.zone,
        "colours": colours.of([event.requested_model, event.served_model, *(each.model for each in attempts)]),
    }
    return render(request, "dashboard/receipt.html", context)


def _owner(standing: Standing) -> int | None:
    return None if standing.sees_all_calls else standing.user.pk


def _read_id(request_id: str) -> UUID:
    """From the form of `x-request-id`."""
    try:
        return UUID(hex=request_id.removeprefix(PREFIX))
    except ValueError:
        raise Http404 from None


team_calls = in_team(Action.SEE_OWN_CALLS)(call_list)
instance_calls = on_instance(call_list)
