"""The way to the company's provider."""

from __future__ import annotations

import logging

from allauth.socialaccount.providers.openid_connect import views
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from requests import RequestException

logger = logging.getLogger(__name__)


def leave_for_company(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    """A page that goes there by itself: `form-action 'self'` also forbids a form to be redirected elsewhere."""
    try:
        answer: HttpResponseBase = views.login(request, provider_id)
    except (RequestException, KeyError):
        logger.exception("What the company's provider says of itself cannot be read")
        return render(request, "socialaccount/authentication_error.html", status=502)
    if isinstance(answer, HttpResponseRedirect) and answer.url.startswith(("http://", "https://")):
        page: HttpResponse = render(request, "socialaccount/login_redirect.html", {"redirect_to": answer.url})
        page["cache-control"] = "no-store"
        return page
    return answer
