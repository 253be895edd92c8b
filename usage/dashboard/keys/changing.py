"""What can be done to a key: change it, rotate it, revoke it. Each asks first, and is harmless when sent twice."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext

from accounts import keys
from accounts.models import ApiKey
from accounts.policy import Action, Standing
from usage.dashboard.frame import in_team
from usage.dashboard.keys import states
from usage.dashboard.keys.forms import KeyForm, Once, RotateForm, catalogue
from usage.dashboard.keys.making import keep_for_one_look, leave
from usage.dashboard.keys.visible import find


@in_team(Action.MANAGE_OWN_KEYS)
def edit(request: HttpRequest, standing: Standing, key_id: int) -> HttpResponse:
    key = find(standing, key_id)
    if key.revoked_at is not None:
        return _back(request, key, gettext("%(name)s is revoked: nothing of it can be changed.") % {"name": key.name})
    models, now = catalogue(), timezone.now()
    form = KeyForm(request.POST or None, instance=key, tier=key.team.tier, catalogue=models, now=now)
    if request.method != "POST" or not form.is_valid():
        # The form has put what was typed into the row: the page's head shows what is kept.
        return render(request, "dashboard/keys/edit.html", {"form": form, "key": find(standing, key_id)})
    changed = keys.change(standing.user, key, **form.cleaned_data)
    said = gettext("%(name)s is changed. It holds within two seconds.") if changed else gettext("Nothing was changed.")
    return _back(request, key, said % {"name": key.name})


@in_team(Action.MANAGE_OWN_KEYS)
def rotate(request: HttpRequest, standing: Standing, key_id: int) -> HttpResponse:
    key, now = find(standing, key_id), timezone.now()
    form = RotateForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        context = {"key": key, "form": form, "rotation": states.rotation_of(key, now), "is_live": key.is_live(now)}
        return render(request, "dashboard/keys/rotate.html", context)
    if not Once(request.session).claim(form.cleaned_data["ticket"]):
        return _back(request, key, gettext("This form was sent twice; one secret was made."))
    try:
        secret = keys.rotate(standing.user, key, form.overlap_span, now)
    except keys.RotationRuns:
        return _back(request, key, gettext("A rotation runs already: finish or cancel it first."), messages.ERROR)
    except keys.NotLive:
        return _back(request, key, gettext("Only a live key can be rotated."), messages.ERROR)
    keep_for_one_look(request, key, secret)
    return redirect("key-made", key.team_id, key.pk)


@in_team(Action.MANAGE_OWN_KEYS)
def finish(request: HttpRequest, standing: Standing, key_id: int) -> HttpResponse:
    key = find(standing, key_id)
    if request.method != "POST":
        return render(request, "dashboard/keys/finish.html", _rotation_of(key))
    is_done = keys.finish(standing.user, key, _secret_id(request), timezone.now())
    done = gettext("The old secret has ended. Calls with it are refused within two seconds.")
    return _back(request, key, done if is_done else gettext("This rotation is over already."))


@in_team(Action.MANAGE_OWN_KEYS)
def cancel(request: HttpRequest, standing: Standing, key_id: int) -> HttpResponse:
    key = find(standing, key_id)
    if request.method != "POST":
        return render(request, "dashboard/keys/cancel.html", _rotation_of(key))
    is_done = keys.cancel(standing.user, key, _secret_id(request), timezone.now())
    done = gettext("The new secret has ended; the one before goes on as if nothing had been.")
    return _back(request, key, done if is_done else gettext("This rotation is over already."))


@in_team(Action.MANAGE_OWN_KEYS)
def revoke(request: HttpRequest, standing: Standing, key_id: int) -> HttpResponse:
    key = find(standing, key_id)
    if request.method != "POST":
        return render(request, "dashboard/keys/revoke.html", {"key": key})
    keys.revoke(standing.user, key, timezone.now())
    messages.success(
        request, gettext("%(name)s is revoked. Calls with it are refused within two seconds.") % {"name": key.name}
    )
    return leave(request, "keys", key.team_id)


def _rotation_of(key: ApiKey) -> dict[str, Any]:
    return {"key": key, "rotation": states.rotation_of(key, timezone.now())}


def _secret_id(request: HttpRequest) -> int:
    """Which rotation the form was about: a late second sending must not end the next one."""
    given = request.POST.get("old", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0


def _back(request: HttpRequest, key: ApiKey, said: str, level: int = messages.SUCCESS) -> HttpResponse:
    messages.add_message(request, level, said)
    return leave(request, "key", key.team_id, key.pk)
