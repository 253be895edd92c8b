"""The call log: filtered by its address, searched back in windows, a page at a time; new calls announce themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from accounts.policy import Action, Standing
from usage.dashboard.calls import menus
from usage.dashboard.calls.asked import CallForm, chips
from usage.dashboard.frame import in_team, on_instance
from usage.reports import call_filter, call_search, colours, sheet
from usage.reports.call_filter import CallFilter
from usage.reports.span import scope_of

A_PAGE = 50


def page(request: HttpRequest, standing: Standing) -> HttpResponse:
    """`?before=req_...` goes on from there."""
    now = timezone.now()
    scope = scope_of(standing.team)
    form, wanted = _asked(request, standing, now)
    before = _before(request)
    found = call_search.search(scope, owner_of(standing), wanted, A_PAGE, before)
    offered = menus.of_page(form, standing, scope, now)
    here = _address(standing, "calls")
    newest = found.calls[0].id if found.calls else call_filter.first_id(now)
    context = {
        "form": form,
        "menus": offered,
        "chips": list(chips(form, {menu.name: menu.choices for menu in offered})),
        "is_narrowed": not wanted.is_empty,
        "found": found,
        "zone": scope.zone,
        "colours": colours.of(call.served_model for call in found.calls),
        "here": here,
        "live": _address(standing, "calls-live") if wanted.is_empty and before is None else "",
        "newest": f"req_{newest.hex}",
        "is_older": before is not None,
        "newest_link": _link(here, form.query()),
        "older_link": _link(here, form.query(before=f"req_{found.older_than.hex}")) if found.older_than else "",
        "csv": _link(_address(standing, "calls-csv"), form.query()),
    }
    return render(request, "dashboard/calls/page.html", context)


def live(request: HttpRequest, standing: Standing) -> HttpResponse:
    """Asked every second by the newest page: how many calls came since it was drawn."""
    newest = call_filter.own_id(request.GET.get("newest", ""))
    if newest is None:
        raise Http404
    context = {
        "live": _address(standing, "calls-live"),
        "here": _address(standing, "calls"),
        "newest": f"req_{newest.hex}",
        "news": call_search.newer(scope_of(standing.team), owner_of(standing), newest),
        "most_news": call_search.MOST_NEWS,
    }
    return render(request, "dashboard/calls/news.html", context)


def export(request: HttpRequest, standing: Standing) -> HttpResponseBase:
    """Every call that the filters ask for, as a file that is written while it is read."""
    now = timezone.now()
    _form, wanted = _asked(request, standing, now)
    parts = _lines(standing, wanted)
    # Under ASGI Django would gather a plain iterator in memory before the first byte.
    response = StreamingHttpResponse(_in_turn(parts) if isinstance(request, ASGIRequest) else parts)
    response["Content-Type"] = "text/csv; charset=utf-8"
    whose = f"team-{standing.team.pk}" if standing.team else "instance"
    response["Content-Disposition"] = f'attachment; filename="calls-{whose}-{now:%Y-%m-%d}.csv"'
    return response


def owner_of(standing: Standing) -> int | None:
    """Whose calls are shown; None is everyone's."""
    return None if standing.sees_all_calls else standing.user.pk


def _asked(request: HttpRequest, standing: Standing, now: datetime) -> tuple[CallForm, CallFilter]:
    form = CallForm(request.GET, on_instance=standing.team is None, sees_members=standing.sees_all_calls)
    return form, form.wanted(now)


def _before(request: HttpRequest) -> UUID | None:
    given = request.GET.get("before")
    if not given:
        return None
    before = call_filter.own_id(given)
    if before is None:
        raise Http404
    return before


def _address(standing: Standing, name: str) -> str:
    return reverse(name, args=[standing.team.pk]) if standing.team else reverse(f"instance-{name}")


def _link(address: str, query: str) -> str:
    return f"{address}?{query}" if query else address


def _lines(standing: Standing, wanted: CallFilter) -> Iterator[bytes]:
    yield sheet.HEAD
    for chunk in call_search.chunks(scope_of(standing.team), owner_of(standing), wanted):
        yield sheet.lines(chunk)


async def _in_turn(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (part := await sync_to_async(_following)(parts)) is not None:
        yield part


def _following(parts: Iterator[bytes]) -> bytes | None:
    return next(parts, None)


team_page, instance_page = in_team(Action.SEE_OWN_CALLS)(page), on_instance(page)
team_live, instance_live = in_team(Action.SEE_OWN_CALLS)(live), on_instance(live)
team_csv, instance_csv = in_team(Action.SEE_OWN_CALLS)(export), on_instance(export)
