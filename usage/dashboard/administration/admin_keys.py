"""Keys of the REST API: the list, a new one (its secret shown once), revoking one."""

from __future__ import annotations

from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from accounts import admin_keys, instance
from accounts.models import AdminKey
from accounts.policy import Standing
from usage import vault
from usage.dashboard.administration.forms import AdminKeyForm
from usage.dashboard.catalog.leaving import leave
from usage.dashboard.frame import on_instance
from usage.dashboard.keys.forms import Once

FRESH = "fresh_admin_key"
BOUND_TO = "session:admin key:{}"
CURL = """\
curl "{url}/v1/organization/costs?start_time={start}" \\
  -H "Authorization: Bearer {secret}\""""
DAYS_IN_SAMPLE = 7


@on_instance
def key_list(request: HttpRequest, standing: Standing) -> HttpResponse:
    now = timezone.now()
    found = [(key, _state(key, now)) for key in AdminKey.objects.select_related("created_by").order_by("-pk")]
    found.sort(key=lambda row: row[1] != "live")
    live_count = sum(state == "live" for _, state in found)
    context = {"keys": found, "live_count": live_count, "gone_count": len(found) - live_count}
    return render(request, "dashboard/administration/admin_keys.html", context)


@on_instance
def create(request: HttpRequest, standing: Standing) -> HttpResponse:
    form = AdminKeyForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "dashboard/administration/admin_key_new.html", {"form": form})
    if not Once(request.session).claim(form.cleaned_data["ticket"]):
        messages.info(request, gettext("This form was sent twice; one key was made."))
        return leave(request, reverse("admin-keys"))
    key, secret = admin_keys.create(standing.user, form.cleaned_data["name"], form.cleaned_data["expires_at"])
    # Kept for one look, sealed: the session's row must not hold a working secret.
    request.session[FRESH] = {"id": key.pk, "sealed": vault.seal(secret, BOUND_TO.format(key.pk))}
    return redirect("admin-key-made", key.pk)


@on_instance
def made(request: HttpRequest, standing: Standing, admin_key_id: int) -> HttpResponse:
    """The only page that ever shows the secret, and only to the session that made the key, once."""
    key = get_object_or_404(AdminKey, pk=admin_key_id)
    fresh = request.session.pop(FRESH, None)
    if not fresh or fresh["id"] != key.pk:
        return leave(request, reverse("admin-keys"))
    secret = vault.open_sealed(fresh["sealed"], BOUND_TO.format(key.pk))
    start = int(timezone.now().timestamp()) // 86_400 * 86_400 - DAYS_IN_SAMPLE * 86_400
    sample = CURL.format(url=instance.public_url(request), start=start, secret=secret)
    context = {"key": key, "secret": secret, "sample": sample}
    return render(request, "dashboard/administration/admin_key_made.html", context)


@on_instance
def revoke(request: HttpRequest, standing: Standing, admin_key_id: int) -> HttpResponse:
    key = get_object_or_404(AdminKey, pk=admin_key_id)
    if request.method != "POST":
        return render(request, "dashboard/administration/admin_key_revoke.html", {"key": key})
    admin_keys.revoke(standing.user, key, timezone.now())
    messages.success(request, gettext("%(name)s is revoked.") % {"name": key.name})
    return leave(request, reverse("admin-keys"))


def _state(key: AdminKey, now: datetime) -> str:
    if key.revoked_at:
        return "revoked"
    return "live" if key.is_live(now) else "expired"
