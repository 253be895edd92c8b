"""Counting attempts at what allauth knows nothing of, with its counters and the limits of ACCOUNT_RATE_LIMITS."""

from __future__ import annotations

from allauth.core.internal import ratelimit
from django.http import HttpRequest, HttpResponse

APP = "allauth.account"


def is_over(request: HttpRequest, action: str) -> bool:
    return ratelimit.consume(request, app=APP, action=action, limit_get=True, dry_run=True) is None


def count(request: HttpRequest, action: str) -> bool:
    """False when it was one too many."""
    return ratelimit.consume(request, app=APP, action=action, limit_get=True) is not None


def refuse(request: HttpRequest) -> HttpResponse:
    page: HttpResponse = ratelimit.respond_429(request)
    return page
