"""The audit log: who did what, when and from where, of a team or of the whole instance."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterator
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone, translation

from accounts import audit_log
from accounts.audit_log import Wanted
from accounts.models import AuditEntry
from accounts.policy import Action, Standing
from usage.dashboard.administration import words
from usage.dashboard.administration.sentences import FAMILIES, OF_TEAM
from usage.dashboard.frame import in_team, on_instance
from usage.reports.sheet import as_cell
from usage.reports.span import scope_of

LONGEST = 200
PREFIXES = {name: prefixes for name, _, prefixes in FAMILIES}
COLUMNS = ("happened_at", "actor", "action", "what", "team_id", "team", "subject", "details", "ip_address")


def page(request: HttpRequest, standing: Standing) -> HttpResponse:
    team, query = standing.team, request.GET
    wanted, zone = _wanted(query, standing), scope_of(standing.team).zone
    found = audit_log.page(wanted, _id(query.get("before", "")))
    here = reverse("audit", args=[team.pk]) if team else reverse("instance-audit")
    context = {
        "told": words.tell(found.entries, team),
        "page": found,
        "zone": zone,
        "here": here,
        "families": [(name, label) for name, label, _ in FAMILIES if team is None or name in OF_TEAM],
        "asked": {name: query.get(name, "")[:LONGEST] for name in ("actor", "family", "subject", "team", "from", "to")},
        "is_older": "before" in query,
        "is_narrowed": wanted.searches,
        "filters": _without(query, "before"),
        "csv": (reverse("audit-csv", args=[team.pk]) if team else reverse("instance-audit-csv")),
    }
    return render(request, "dashboard/administration/audit.html", context)


def export(request: HttpRequest, standing: Standing) -> HttpResponseBase:
    """All of what the page's filters ask for, whatever page it was at."""
    wanted, zone = _wanted(request.GET, standing), scope_of(standing.team).zone
    parts = _csv(wanted, zone, translation.get_language() or "en")
    # Under ASGI Django would gather a plain iterator in memory before the first byte.
    response = StreamingHttpResponse(_in_turn(parts) if isinstance(request, ASGIRequest) else parts)
    response["Content-Type"] = "text/csv; charset=utf-8"
    whose = f"team-{standing.team.pk}" if standing.team else "instance"
    response["Content-Disposition"] = f'attachment; filename="audit-{whose}-{timezone.now():%Y-%m-%d}.csv"'
    return response


def _wanted(query: QueryDict, standing: Standing) -> Wanted:
    """What cannot be understood asks for nothing."""
    zone, until = scope_of(standing.team).zone, _day(query.get("to", ""))
    since = _day(query.get("from", ""))
    return Wanted(
        team_id=standing.team.pk if standing.team else None,
        actor=_text(query, "actor"),
        families=PREFIXES.get(query.get("family", ""), ()),
        subject=_text(query, "subject"),
        of_team="" if standing.team else _text(query, "team"),
        since=_midnight(since, zone) if since else None,
        # The last day is meant as well.
        until=_midnight(until + timedelta(days=1), zone) if until else None,
    )


def _text(query: QueryDict, name: str) -> str:
    return query.get(name, "").replace("\0", "").strip()[:LONGEST]


def _day(given: str) -> date | None:
    try:
        day = date.fromisoformat(given)
    except ValueError:
        return None
    return day if 1971 <= day.year <= 9000 else None


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, datetime.min.time(), zone)


def _id(given: str) -> int | None:
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else None


def _without(query: QueryDict, name: str) -> str:
    kept = query.copy()
    kept.pop(name, None)
    return kept.urlencode()


def _csv(wanted: Wanted, zone: tzinfo, language: str) -> Iterator[bytes]:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for entries in audit_log.everything(wanted):
        # The rows are made while they are sent: the request's language and zone are over by then.
        with translation.override(language), timezone.override(zone):
            writer.writerows(_row(entry, zone) for entry in entries)
        yield out.getvalue().encode()
        out.seek(0)
        out.truncate()
    yield out.getvalue().encode()


def _row(entry: AuditEntry, zone: tzinfo) -> list[Any]:
    details = "; ".join(
        f"{detail.label}: {detail.new}" if detail.old is None else f"{detail.label}: {detail.old} → {detail.new}"
        for detail in words.details_of(entry)
    )
    told = (entry.actor_name, entry.action, words.plain_sentence(entry))
    team = (entry.team_id or "", as_cell(entry.team.name) if entry.team else "")
    at = entry.happened_at.astimezone(zone).isoformat(timespec="seconds")
    subject = (as_cell(entry.subject), as_cell(details), entry.ip_address or "")
    return [at, *(as_cell(text) for text in told), *team, *subject]


async def _in_turn(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    take = sync_to_async(lambda: next(parts, None))
    while (part := await take()) is not None:
        yield part


team_page, team_csv = in_team(Action.SEE_AUDIT)(page), in_team(Action.SEE_AUDIT)(export)
instance_page, instance_csv = on_instance(page), on_instance(export)
