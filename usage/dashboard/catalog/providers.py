"""Providers: where calls are sent, with what key, and how they are."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.db import IntegrityError
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from accounts.models import InstanceSettings
from accounts.networks import Networks
from accounts.policy import Standing
from usage import catalog_acts
from usage.dashboard.catalog.leaving import leave, only_post, said_to_be_taken
from usage.dashboard.catalog.provider_form import ProviderForm, form_for, price_books
from usage.dashboard.frame import on_instance
from usage.models import Provider
from usage.reports import catalog_use

if TYPE_CHECKING:
    from usage.provider_health import Look


@on_instance
def provider_list(request: HttpRequest, standing: Standing) -> HttpResponse:
    return render(request, "dashboard/catalog/providers.html", _listed())


@on_instance
def provider_edit(request: HttpRequest, standing: Standing, provider_id: int | None = None) -> HttpResponse:
    """A new provider without `provider_id`."""
    provider = get_object_or_404(Provider, pk=provider_id) if provider_id is not None else None
    form = form_for(provider, request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return _sheet(request, provider, form)
    api_key = form.cleaned_data["api_key"]
    try:
        if provider is None:
            with_routes = form.cleaned_data["with_routes"]
            saved = catalog_acts.add_provider(standing.user, form.wanted, api_key, with_routes=with_routes)
        else:
            saved = catalog_acts.change_provider(standing.user, provider.pk, form.wanted, api_key)
    except IntegrityError:
        said_to_be_taken(form, "name")
        return _sheet(request, provider, form)
    messages.success(
        request, gettext("%(name)s is saved. The gateway knows within two seconds.") % {"name": saved.name}
    )
    return leave(request, reverse("providers"))


@on_instance
def provider_try(request: HttpRequest, standing: Standing, provider_id: int | None = None) -> HttpResponse:
    """Asks what is typed in for its models, and saves nothing. A typed-in address never gets the stored key."""
    provider = get_object_or_404(Provider, pk=provider_id) if provider_id is not None else None
    if request.method != "POST":
        return only_post()
    form = form_for(provider, request.POST)
    # Whatever else is wrong is said when it is saved.
    is_wrong = form.errors.keys() & {"base_url", "api_key"}
    return _sheet(request, provider, form, None if is_wrong else _look(provider, form))


@on_instance
def provider_check(request: HttpRequest, standing: Standing, provider_id: int) -> HttpResponse:
    """The same with what is stored, from the list; saves nothing either."""
    provider = get_object_or_404(Provider, pk=provider_id)
    if request.method != "POST":
        return only_post()
    return render(
        request, "dashboard/catalog/providers.html", _listed(tried=(provider.pk, _provider_health().look_at(provider)))
    )


@on_instance
def provider_switch(request: HttpRequest, standing: Standing, provider_id: int) -> HttpResponse:
    provider = get_object_or_404(Provider, pk=provider_id)
    if request.method != "POST":
        return only_post()
    enabled = request.POST.get("to") == "on"
    catalog_acts.switch_provider(standing.user, provider.pk, enabled=enabled)
    said = (
        gettext("%(name)s is on: calls are sent to it again.")
        if enabled
        else gettext("%(name)s is off: within two seconds no call is sent to it.")
    )
    messages.success(request, said % {"name": provider.name})
    return redirect("providers")


@on_instance
def provider_delete(request: HttpRequest, standing: Standing, provider_id: int) -> HttpResponse:
    provider = get_object_or_404(Provider.objects.annotate(route_count=Count("routes")), pk=provider_id)
    if request.method == "POST":
        name = provider.name
        try:
            catalog_acts.remove_provider(standing.user, provider)
        except catalog_acts.InUse:
            return redirect("provider-delete", provider_id)
        messages.success(request, gettext("%(name)s is deleted.") % {"name": name})
        return redirect("providers")
    context = {"provider": provider, "has_calls": catalog_acts.has_calls(provider)}
    return render(request, "dashboard/catalog/provider_delete.html", context)


def _listed(tried: tuple[int, Look] | None = None) -> dict[str, object]:
    now = timezone.now()
    uses = catalog_use.by_provider(now)
    rows = [(provider, uses.get(provider.name, catalog_use.NO_USE)) for provider in _providers()]
    on_count = sum(provider.enabled for provider, _ in rows)
    return {"rows": rows, "on_count": on_count, "off_count": len(rows) - on_count, "tried": tried}


def _providers() -> QuerySet[Provider]:
    found = Provider.objects.select_related("health").order_by("-enabled", "name")
    return found.annotate(model_count=Count("routes__model", distinct=True))


def _look(provider: Provider | None, form: ProviderForm) -> Look:
    stored = Provider.objects.get(pk=provider.pk) if provider else None
    typed, health = form.cleaned_data["api_key"], _provider_health()
    seen: Look
    if stored is None or form.has_moved():
        allowed = Networks(InstanceSettings.current().private_networks)
        seen = health.look(form.cleaned_data["base_url"], typed, allowed)
    elif typed:
        seen = health.look(stored.base_url, typed, health.allowed_for(stored))
    else:
        seen = health.look_at(stored)
    return seen


def _sheet(
    request: HttpRequest, provider: Provider | None, form: ProviderForm, look: Look | None = None
) -> HttpResponse:
    # Read again: a form writes what was typed into its instance.
    stored = Provider.objects.get(pk=provider.pk) if provider else None
    context = {"form": form, "provider": stored, "look": look, "books": price_books()}
    return render(request, "dashboard/catalog/provider.html", context)


def _provider_health() -> Any:
    """With it comes the providers' SDK, 25 MB: in the gateway's process not before somebody presses "Test"."""
    return import_module("usage.provider_health")
