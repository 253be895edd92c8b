"""A new key, and a secret's one appearance."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django_htmx.http import HttpResponseClientRedirect

from accounts import keys
from accounts.models import ApiKey
from accounts.policy import Action, Standing
from usage import vault
from usage.dashboard import snippets
from usage.dashboard.frame import in_team
from usage.dashboard.keys import states
from usage.dashboard.keys.forms import NewKeyForm, Once, catalogue
from usage.dashboard.keys.visible import find
from usage.reports import calls

FRESH = "fresh_key"
BOUND_TO = "session:key:{}"


@in_team(Action.MANAGE_OWN_KEYS)
def create(request: HttpRequest, standing: Standing) -> HttpResponse:
    assert standing.team
    form = NewKeyForm(request.POST or None, tier=standing.team.tier, catalogue=catalogue(), now=timezone.now())
    if request.method != "POST" or not form.is_valid():
        return render(request, "dashboard/keys/new.html", {"form": form})
    given = form.cleaned_data
    if not Once(request.session).claim(given.pop("ticket")):
        messages.info(request, gettext("This form was sent twice; one key was made."))
        return leave(request, "keys", standing.team.pk)
    key, secret = keys.create(standing.user, standing.team, **given)
    keep_for_one_look(request, key, secret)
    return redirect("key-made", standing.team.pk, key.pk)


@in_team(Action.MANAGE_OWN_KEYS)
def made(request: HttpRequest, standing: Standing, key_id: int) -> HttpResponse:
    """The only page that ever shows a secret, and only to the session that made it, once."""
    key = find(standing, key_id)
    fresh = request.session.pop(FRESH, None)
    if not fresh or fresh["id"] != key.pk:
        return redirect("key", key.team_id, key.pk)
    secret = vault.open_sealed(fresh["sealed"], BOUND_TO.format(key.pk))
    context = {
        "key": key,
        "secret": secret,
        "limits": states.effective_limits(key, key.team.tier),
        "rotation": states.rotation_of(key, timezone.now()),
    }
    return render(
        request, "dashboard/keys/made.html", context | snippets.context(request, secret, allowed=key.allowed_models)
    )


@in_team(Action.MANAGE_OWN_KEYS)
def first_call(request: HttpRequest, standing: Standing, key_id: int) -> HttpResponse:
    """The line that turns green: for a new secret as for a new key."""
    key = find(standing, key_id)
    newest = key.shown_secret
    is_first = len(key.secrets.all()) < 2
    has_called = bool(newest and newest.last_used_at) or (is_first and bool(calls.called_since([key.pk])))
    return render(request, "dashboard/first_call.html", {"key": key, "has_called": has_called})


def leave(request: HttpRequest, page: str, *arguments: int) -> HttpResponse:
    """To another page: out of the dialog too, which would only take its own part of it."""
    if request.headers.get("HX-Request"):
        return HttpResponseClientRedirect(reverse(page, args=arguments))
    return redirect(page, *arguments)


def keep_for_one_look(request: HttpRequest, key: ApiKey, secret: str) -> None:
    """Sealed: the session's row must not hold a working secret."""
    request.session[FRESH] = {"id": key.pk, "sealed": vault.seal(secret, BOUND_TO.format(key.pk))}
