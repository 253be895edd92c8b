"""`GET /api/usage/events`: one row a call, as CSV, NDJSON or JSON pages."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import msgspec
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from usage.api import parameters
from usage.api.errors import BadParameter
from usage.api.view import ApiView
from usage.models import Outcome
from usage.reports import events, sheet
from usage.reports.events import Wanted

CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson", "json": "application/json"}


class EventsView(ApiView):
    """CSV and NDJSON stream everything asked for; JSON gives a page, the next one with `after`."""

    def get(self, request: Request) -> HttpResponseBase:
        query = request.query_params
        form = parameters.choice(query, "format", CONTENT_TYPES, "json")
        wanted = _wanted(query)
        if form == "json":
            limit = parameters.integer(query, "limit", at_least=1, at_most=1000) or 100
            return Response(_page(wanted, limit))
        if request.method == "HEAD":
            response: HttpResponseBase = HttpResponse()
        else:
            response = _streamed(request._request, _csv(wanted) if form == "csv" else _ndjson(wanted))
        response["Content-Type"] = CONTENT_TYPES[form]
        response["Content-Disposition"] = f'attachment; filename="usage-{wanted.start_s}-{wanted.end_s}.{form}"'
        response["Cache-Control"] = "no-store"
        return response


def _wanted(query: QueryDict) -> Wanted:
    """Everything up to now, unless told otherwise."""
    start_s, end_s = parameters.span_s(query)
    now_s = math.ceil(timezone.now().timestamp())
    return Wanted(
        start_s=start_s or 0,
        end_s=max(now_s, start_s or 0) if end_s is None else end_s,
        team_ids=parameters.several_ids(query, "project_ids", "proj_"),
        key_ids=parameters.several_ids(query, "api_key_ids", "key_"),
        models=parameters.several(query, "models") or None,
        outcomes=parameters.several(query, "outcome", Outcome.values) or None,
        after=_after(query),
    )


def _after(query: QueryDict) -> UUID | None:
    given = parameters.text(query, "after")
    try:
        return UUID(hex=given.removeprefix("req_")) if given else None
    except ValueError as error:
        raise BadParameter(
            "after", "Invalid value: 'after' must be the request_id of the last row you have."
        ) from error


def _page(wanted: Wanted, limit: int) -> dict[str, Any]:
    """One row more than asked for tells whether there is a next page."""
    rows = next(events.chunks(wanted, limit + 1), [])
    page = rows[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["request_id"] if page else None,
        "last_id": page[-1]["request_id"] if page else None,
        "has_more": len(rows) > limit,
    }


def _streamed(request: HttpRequest, parts: Iterator[bytes]) -> StreamingHttpResponse:
    """Under ASGI Django would gather a plain iterator in memory before the first byte."""
    return StreamingHttpResponse(_in_turn(parts) if isinstance(request, ASGIRequest) else parts)


async def _in_turn(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    take = sync_to_async(lambda: next(parts, None))
    while (part := await take()) is not None:
        yield part


def _ndjson(wanted: Wanted) -> Iterator[bytes]:
    encoder = msgspec.json.Encoder()
    for chunk in events.chunks(wanted):
        yield encoder.encode_lines(chunk)


def _csv(wanted: Wanted) -> Iterator[bytes]:
    yield sheet.HEAD
    for chunk in events.chunks(wanted):
        yield sheet.lines(chunk)
