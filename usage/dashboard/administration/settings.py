"""The settings of the instance, and beside them what its environment says."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.request import validate_host
from django.shortcuts import redirect, render
from django.utils.translation import gettext

from accounts import instance
from accounts.models import InstanceSettings
from accounts.policy import Standing
from usage.dashboard.administration import effective
from usage.dashboard.administration.forms import SettingsForm
from usage.dashboard.frame import on_instance


@on_instance
def page(request: HttpRequest, standing: Standing) -> HttpResponse:
    form = SettingsForm(request.POST or None, instance=InstanceSettings.current())
    if request.method == "POST" and form.is_valid():
        instance.change(standing.user, form.cleaned_data)
        messages.success(request, gettext("The settings are saved. The gateway follows within two seconds."))
        _warn_of_host(request, form.cleaned_data["public_url"])
        return redirect("settings")
    return render(request, "dashboard/administration/settings.html", {"form": form, "effective": effective.lines()})


def _warn_of_host(request: HttpRequest, public_url: str) -> None:
    host = urlsplit(public_url).hostname
    if host and not validate_host(host, settings.ALLOWED_HOSTS):
        messages.warning(
            request,
            gettext("%(host)s is not in MEGADASH_ALLOWED_HOSTS: pages opened there are refused until it is.")
            % {"host": host},
        )
