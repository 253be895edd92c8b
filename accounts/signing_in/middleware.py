"""Around every page: where the request came from, when its person was last seen, and whether they may go on."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import datetime
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from accounts import audit
from accounts.models import User
from accounts.signing_in import second_factor

SEEN = "seen:{}"
SEEN_GRAIN_S = 300
# Open to whoever has yet to set up a second factor: doing so, and leaving.
ON_THE_WAY = {
    "mfa_index",
    "mfa_activate_totp",
    "mfa_list_webauthn",
    "mfa_add_webauthn",
    "account_reauthenticate",
    "account_logout",
    "set_language",
}


class PeopleMiddleware:
    """Costs no query beyond the session's and the user's, but for one look each five minutes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        audit.came_from.set(address_of(request))
        user = _person(request)
        if user:
            note_seen(request, user, timezone.now())
        response = self.get_response(request)
        if user and request.resolver_match and request.resolver_match.url_name == "set_language":
            _keep_language(user, response)
        return response

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        user, match = _person(request), request.resolver_match
        if user is None or (match and match.url_name in ON_THE_WAY) or not second_factor.is_missing(request, user):
            return None
        if request.headers.get("HX-Request"):
            return HttpResponse(status=204, headers={"HX-Redirect": reverse("mfa_index")})
        return redirect("mfa_index")


def address_of(request: HttpRequest) -> str | None:
    """The caller's IP address. `X-Forwarded-For` is believed for as many proxies as MEGADASH_TRUSTED_PROXIES says."""
    try:
        told = get_adapter().get_client_ip(request).partition("%")[0]
        return str(ipaddress.ip_address(told))
    except (PermissionDenied, ValueError):
        return None


def note_seen(request: HttpRequest, user: User, now: datetime) -> None:
    """In the person's row and the session's, when that was not done in the last five minutes."""
    key = request.session.session_key
    if key and cache.add(SEEN.format(key), True, SEEN_GRAIN_S):
        User.objects.filter(pk=user.pk).update(last_seen_at=now)
        if audit.came_from.get():
            UserSession.objects.create_from_request(request)


def _person(request: HttpRequest) -> User | None:
    """Without a session's cookie nothing is asked, so that answers to programs do not vary by it."""
    if settings.SESSION_COOKIE_NAME not in request.COOKIES or not request.user.is_authenticated:
        return None
    return request.user


def _keep_language(user: User, response: HttpResponseBase) -> None:
    chosen = response.cookies.get(settings.LANGUAGE_COOKIE_NAME)
    if chosen:
        User.objects.filter(pk=user.pk).update(language=chosen.value)
