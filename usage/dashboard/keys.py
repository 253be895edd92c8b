"""A team's keys: the list, a new one (its secret shown once), revoking one."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext

from accounts import keys
from accounts.models import ApiKey
from accounts.policy import Action, Standing
from usage import vault
from usage.dashboard import snippets
from usage.dashboard.forms import KeyForm
from usage.dashboard.frame import in_team
from usage.reports import calls

FRESH = "fresh_key"
BOUND_TO = "session:key:{}"


@in_team(Action.MANAGE_OWN_KEYS)
def key_list(request: HttpRequest, standing: Standing) -> HttpResponse:
    found = list(_visible(standing).select_related("created_by"))
    now = timezone.now()
    live = [key for key in found if key.is_live(now)]
    gone = [key for key in found if not key.is_live(now)]
    return render(
        request,
        "dashboard/keys.html",
        {"keys": [*live, *gone], "live_count": len(live), "gone_count": len(gone), "now": now},
    )


@in_team(Action.MANAGE_OWN_KEYS)
def create(request: HttpRequest, standing: Standing) -> HttpResponse:
    form = KeyForm(request.POST or None, session=request.session)
    if request.method != "POST" or not form.is_valid():
        return render(request, "dashboard/key_new.html", {"form": form})
    assert standing.team
    if not form.claim():
        messages.info(request, gettext("This form was sent twice; one key was made."))
        return redirect("keys", standing.team.pk)
    key, secret = keys.create(standing.user, standing.team, **form.cleaned_data)
    # Kept for one look, sealed: the session's row must not hold a working secret.
    request.session[FRESH] = {"id": key.pk, "sealed": vault.seal(secret, BOUND_TO.format(key.pk))}
    return redirect("key-made", standing.team.pk, key.pk)


@in_team(Action.MANAGE_OWN_KEYS)
def made(request: HttpRequest, standing: Standing, key_id: int) -> HttpResponse:
    """The only page that ever shows a secret, and only to the session that made the key, once."""
    key = _find(standing, key_id)
    fresh = request.session.pop(FRESH, None)
    if not fresh or fresh["id"] != key.pk:
        return redirect("keys", key.team_id)
    secret = vault.open_sealed(fresh["sealed"], BOUND_TO.format(key.pk))
    return render(
        request, "dashboard/key_made.html", {"key": key, "secret": secret, **snippets.context(request, secret)}
    )


@in_team(Action.MANAGE_OWN_KEYS)
def first_call(request: HttpRequest, standing: Standing, key_id: int) -> HttpResponse:
    """The line that turns green."""
    key = _find(standing, key_id)
    return render(request, "dashboard/first_call.html", {"key": key, "has_called": bool(calls.called_since([key.pk]))})


@in_team(Action.MANAGE_OWN_KEYS)
def revoke(request: HttpRequest, standing: Standing, key_id: int) -> HttpResponse:
    key = _find(standing, key_id)
    if request.method != "POST":
        return render(request, "dashboard/key_revoke.html", {"key": key})
    keys.revoke(standing.user, key, timezone.now())
    messages.success(
        request, gettext("%(name)s is revoked. Calls with it are refused within two seconds.") % {"name": key.name}
    )
    return redirect("keys", key.team_id)


def _visible(standing: Standing) -> QuerySet[ApiKey]:
    found = ApiKey.objects.filter(team=standing.team)
    return found if standing.may(Action.MANAGE_ALL_KEYS) else found.filter(created_by=standing.user)


def _find(standing: Standing, key_id: int) -> ApiKey:
    key = _visible(standing).select_related("team").filter(pk=key_id).first()
    if key is None:
        raise Http404
    return key
