"""Errors of every address: the OpenAI envelope for programs, a page for people. Also the headers of every answer.

SDKs lose the message of an error that is HTML, so whatever Django answers on an API path is turned into the envelope.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Any

import msgspec
import uuid_utils
from django.core.exceptions import RequestDataTooBig
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template import TemplateDoesNotExist
from django.template.loader import render_to_string
from django.urls import NoReverseMatch
from django.utils.html import escape

from usage.api import envelope

logger = logging.getLogger(__name__)
API_PREFIXES = ("v1", "api")
# What OpenAI serves below /v1, in case the caller's base URL leaves that out.
OPENAI_PATHS = (
    *("assistants", "audio", "batches", "chat", "completions", "containers", "conversations", "embeddings", "evals"),
    *("files", "fine_tuning", "images", "messages", "models", "moderations", "organization", "realtime", "responses"),
    *("threads", "uploads", "vector_stores", "videos"),
)
EXPOSED_HEADERS = (
    "x-request-id, openai-processing-ms, openai-version, retry-after, retry-after-ms, x-should-retry, "
    "x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
)
HEADER_NAMES = re.compile(r"[A-Za-z0-9_, -]{1,2000}")
TITLES = {
    400: "Bad request",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    413: "Too large",
    429: "Too many attempts",
    500: "Something went wrong on our side",
}


class EnvelopeMiddleware:
    """The outermost: it sees every answer, also those of a middleware that gave up early."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started_s, request_id = time.monotonic(), f"req_{uuid_utils.uuid7().hex}"
        response = _preflight(request) if _is_preflight(request) else self.get_response(request)
        if response.status_code >= 400 and not _is_json(response) and for_programs(request):
            response = _enveloped(request, response)
        if response.status_code >= 500:
            logger.error("%s: %s %s answered %d", request_id, request.method, request.path[:200], response.status_code)
        response["x-request-id"] = request_id
        if _is_api_path(request):
            response["openai-processing-ms"] = str(int((time.monotonic() - started_s) * 1000))
            response["openai-version"] = "2020-10-01"
            # No cookie means anything on these paths, so any origin may read what its own key opens.
            response["access-control-allow-origin"] = "*"
            response["access-control-expose-headers"] = EXPOSED_HEADERS
        return response


def for_programs(request: HttpRequest) -> bool:
    """Whether an error goes out as the envelope rather than as a page."""
    is_bearer = request.META.get("HTTP_AUTHORIZATION", "").lower().startswith("bearer")
    return _is_api_path(request) or is_bearer or not request.accepts("text/html")


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return answer(request, 413 if isinstance(exception, RequestDataTooBig) else 400)


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return answer(request, 403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return answer(request, 403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return answer(request, 404)


def too_many_requests(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """allauth's throttle asks for it by the name `handler429`."""
    response = answer(request, 429)
    response["retry-after"] = "60"
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """Django has logged the exception; nothing of it goes out."""
    return answer(request, 500)


def answer(request: HttpRequest, status: int) -> HttpResponse:
    if for_programs(request):
        return _json(envelope.for_status(status, request.method, request.path), status)
    return HttpResponse(_page(request, status), status=status)


def _page(request: HttpRequest, status: int) -> str:
    # A page of the site asks the database and the host name; after a 400 or a 500 neither can be relied upon.
    told = request if status in (403, 404, 405, 429) else None
    title = TITLES.get(status, "Error")
    try:
        return render_to_string(f"errors/{status}.html", {"status": status, "title": title}, told)
    except (TemplateDoesNotExist, NoReverseMatch, ValueError, DatabaseError):
        # ValueError: a static file without its manifest, before collectstatic has run. An error page must not fail too.
        logger.warning("the page for status %d could not be drawn", status, exc_info=True)
        return (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><h1>{escape(title)}</h1>"
        )


def _enveloped(request: HttpRequest, response: HttpResponseBase) -> HttpResponse:
    """The same status and headers with another body."""
    told = _json(envelope.for_status(response.status_code, request.method, request.path), response.status_code)
    for name, value in response.items():
        if name.lower() not in ("content-type", "content-length"):
            told[name] = value
    told.cookies = response.cookies
    return told


def _json(body: dict[str, Any], status: int) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(body), status=status, content_type="application/json")


def _is_json(response: HttpResponseBase) -> bool:
    return response.headers.get("Content-Type", "").startswith("application/json")


def _is_api_path(request: HttpRequest) -> bool:
    first = request.path.strip("/").partition("/")[0]
    return first in API_PREFIXES or first in OPENAI_PATHS


def _is_preflight(request: HttpRequest) -> bool:
    is_asked = "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.META
    return request.method == "OPTIONS" and is_asked and _is_api_path(request)


def _preflight(request: HttpRequest) -> HttpResponse:
    """SDKs in browsers send `x-stainless-*` headers of many names: allow what is asked for."""
    response = HttpResponse(status=204)
    asked = request.META.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
    response["access-control-allow-headers"] = asked if HEADER_NAMES.fullmatch(asked) else "authorization, content-type"
    response["access-control-allow-methods"] = "GET, POST, DELETE, OPTIONS"
    response["access-control-max-age"] = "86400"
    return response
