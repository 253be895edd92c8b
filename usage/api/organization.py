"""`/v1/organization/usage/...` and `/v1/organization/costs`, in the shape that the official SDKs read."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Literal, NamedTuple

import msgspec
from django.core import signing
from django.http import QueryDict
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from usage.api import parameters
from usage.api.errors import BadParameter
from usage.api.view import ApiView
from usage.reports import exact, organization
from usage.reports.organization import DAY_S, HOUR_S, MINUTE_S, Question, Results

USAGE_DIMENSIONS = ("project_id", "user_id", "api_key_id", "model", "batch", "service_tier")
EMBEDDING_DIMENSIONS = ("project_id", "user_id", "api_key_id", "model")
COST_DIMENSIONS = ("project_id", "user_id", "line_item", "api_key_id")
# What we do not meter. Exporters poll them all, so each answers an empty page.
UNMETERED = (
    "audio_speeches",
    "audio_transcriptions",
    "code_interpreter_sessions",
    "decisions",
    "file_search_calls",
    "images",
    "moderations",
    "vector_stores",
    "web_search_calls",
)


class Width(NamedTuple):
    """A bucket width, and how many buckets a page has at most."""

    seconds: int
    default_limit: int
    max_limit: int


USAGE_WIDTHS = {"1m": Width(MINUTE_S, 60, 1440), "1h": Width(HOUR_S, 24, 168), "1d": Width(DAY_S, 7, 31)}
COST_WIDTHS = {"1d": Width(DAY_S, 7, 180)}


class UsageView(ApiView):
    kind: Literal["completions", "embeddings"] = "completions"
    dimensions: tuple[str, ...] = USAGE_DIMENSIONS

    def get(self, request: Request) -> Response:
        now = timezone.now()
        asked = read_page(request.query_params, USAGE_WIDTHS, self.dimensions, now)
        try:
            return Response(page(asked, organization.usage(asked.question, self.kind, now)))
        except organization.TooOld as error:
            raise BadParameter(
                "start_time", "Hourly and service-tier usage is kept for 90 days. Ask for days without 'service_tier'."
            ) from error


class CostsView(ApiView):
    def get(self, request: Request) -> Response:
        now = timezone.now()
        asked = read_page(request.query_params, COST_WIDTHS, COST_DIMENSIONS, now)
        results = organization.costs(asked.question, now)
        return Response(page(asked, {start_s: [_cost(line) for line in lines] for start_s, lines in results.items()}))


class UnmeteredView(ApiView):
    def get(self, request: Request) -> Response:
        return Response({"object": "page", "data": [], "has_more": False, "next_page": None})


# What was asked -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """The buckets of this page as a question, and where the whole range ends."""

    question: Question
    end_s: int
    fingerprint: str


class Cursor(msgspec.Struct):
    """Signed, so that it cannot be made up; the end is in it, because "now" is another on the next page."""

    start_s: int
    end_s: int
    fingerprint: str

    signer: ClassVar = signing.Signer(salt="usage.api.organization")


def read_page(query: QueryDict, widths: dict[str, Width], dimensions: tuple[str, ...], now: datetime) -> Page:
    """Raises BadParameter."""
    width = widths[parameters.choice(query, "bucket_width", widths, "1d")]
    start_s, end_s = parameters.span_s(query)
    if start_s is None:
        raise BadParameter("start_time", "Missing required parameter: 'start_time'.", "missing_required_parameter")
    limit = parameters.integer(query, "limit", at_least=1, at_most=width.max_limit) or width.default_limit
    end_s = math.ceil(now.timestamp()) if end_s is None else end_s
    whole = replace(
        _filters(query, dimensions),
        start_s=start_s - start_s % width.seconds,
        end_s=end_s + -end_s % width.seconds,
        width_s=width.seconds,
    )
    fingerprint = _fingerprint(whole, has_end=bool(parameters.text(query, "end_time")))
    if (token := parameters.text(query, "page")) is not None:
        cursor = _opened(token, fingerprint)
        whole = replace(whole, start_s=cursor.start_s, end_s=cursor.end_s)
    end_of_page_s = min(whole.start_s + limit * width.seconds, whole.end_s)
    return Page(replace(whole, end_s=end_of_page_s), whole.end_s, fingerprint)


def _filters(query: QueryDict, dimensions: tuple[str, ...]) -> Question:
    return Question(
        start_s=0,
        end_s=0,
        width_s=DAY_S,
        group_by=parameters.several(query, "group_by", dimensions),
        team_ids=parameters.several_ids(query, "project_ids", "proj_"),
        key_ids=parameters.several_ids(query, "api_key_ids", "key_"),
        models=parameters.several(query, "models") or None,
        user_ids=parameters.several(query, "user_ids") or None,
        batch=parameters.boolean(query, "batch"),
        line_items=_line_items(query),
    )


def _line_items(query: QueryDict) -> tuple[str, ...] | None:
    """`gpt-4, input_tokens` has a comma of its own, so this array cannot be written with commas."""
    values = tuple(
        value.strip() for name in ("line_items", "line_items[]") for value in query.getlist(name) if value.strip()
    )
    return values or None


def _fingerprint(question: Question, *, has_end: bool) -> str:
    """Of all that must stay the same from page to page; the limit may change."""
    asked = question if has_end else replace(question, end_s=0)
    parts = (getattr(asked, name) for name in asked.__dataclass_fields__)
    stable = [sorted(part) if isinstance(part, frozenset) else part for part in parts]
    return hashlib.sha256(msgspec.json.encode(stable)).hexdigest()[:16]


def _opened(token: str, fingerprint: str) -> Cursor:
    try:
        cursor = msgspec.convert(Cursor.signer.unsign_object(token.removeprefix("page_")), Cursor)
    except (signing.BadSignature, msgspec.ValidationError, ValueError) as error:
        raise BadParameter("page", "Invalid 'page': use the 'next_page' of the previous answer as it is.") from error
    if cursor.fingerprint != fingerprint:
        raise BadParameter("page", "This 'page' belongs to another question: keep the other parameters as they were.")
    return cursor


# What is answered ---------------------------------------------------------------------------------------------------


def page(asked: Page, results: Results) -> dict[str, Any]:
    question = asked.question
    buckets = [
        {
            "object": "bucket",
            "start_time": start_s,
            "end_time": start_s + question.width_s,
            "results": results.get(start_s, []),
        }
        for start_s in question.starts_s
    ]
    has_more = question.end_s < asked.end_s
    return {"object": "page", "data": buckets, "has_more": has_more, "next_page": _next(asked) if has_more else None}


def _next(asked: Page) -> str:
    cursor = Cursor(asked.question.end_s, asked.end_s, asked.fingerprint)
    return "page_" + Cursor.signer.sign_object(msgspec.to_builtins(cursor))


def _cost(line: dict[str, Any]) -> dict[str, Any]:
    """The amount as a number with all its digits: no float comes near it. Null is an unknown price."""
    nano_usd = line.pop("nano_usd")
    value = None if nano_usd is None else msgspec.Raw(exact.usd(nano_usd).encode())
    return {
        "object": "organization.costs.result",
        "amount": {"value": value, "currency": "usd"},
        "quantity_unit": None if line["quantity"] is None else "tokens",
        **line,
    }
