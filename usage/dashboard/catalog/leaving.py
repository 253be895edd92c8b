"""The way out of a page: to the next one of a list, and out of a form, which may be in a dialog."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, QueryDict
from django.shortcuts import redirect
from django.utils.translation import gettext
from django_htmx.http import HttpResponseClientRedirect

from usage.dashboard.forms import mark_errors


def only_post() -> HttpResponse:
    return HttpResponseNotAllowed(["POST"])


def leave(request: HttpRequest, url: str) -> HttpResponse:
    """To another page: out of the dialog too, which would only take its own part of it."""
    if request.headers.get("HX-Request"):
        return HttpResponseClientRedirect(url)
    return redirect(url)


def filters_of(query: QueryDict, names: Iterable[str]) -> str:
    """What narrows a list, for the addresses of its other pages and of its CSV."""
    return urlencode({name: query[name] for name in names if query.get(name)})


def said_to_be_taken(form: BaseForm, field: str) -> None:
    """Two forms with one name were sent at the same time, and the other one was quicker."""
    form.add_error(field, gettext("This is there already."))
    mark_errors(form)
