"""The routes of a model, in the order in which they are tried."""

from __future__ import annotations

from django.contrib import messages
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext

from accounts.policy import Standing
from usage import catalog_acts
from usage.dashboard.catalog.leaving import leave, only_post, said_to_be_taken
from usage.dashboard.catalog.model_form import RouteForm
from usage.dashboard.frame import on_instance
from usage.models import Model, Route


@on_instance
def route_new(request: HttpRequest, standing: Standing, model_id: int) -> HttpResponse:
    model = get_object_or_404(Model, pk=model_id)
    form = RouteForm(request.POST or None, model=model)
    if request.method != "POST" or not form.is_valid():
        return render(request, "dashboard/catalog/route_form.html", {"form": form, "model": model})
    try:
        catalog_acts.add_route(standing.user, model, form.cleaned_data["provider"], form.cleaned_data["upstream_model"])
    except IntegrityError:
        said_to_be_taken(form, "upstream_model")
        return render(request, "dashboard/catalog/route_form.html", {"form": form, "model": model})
    messages.success(request, gettext("The route is added. It is tried after the others."))
    return leave(request, reverse("model", args=[model.pk]))


@on_instance
def route_act(request: HttpRequest, standing: Standing, model_id: int, route_id: int) -> HttpResponse:
    """Up, down, on or off."""
    route = _find(model_id, route_id)
    if request.method != "POST":
        return only_post()
    to = request.POST.get("to")
    if to in ("up", "down"):
        catalog_acts.move_route(standing.user, route, up=to == "up")
    elif to in ("on", "off"):
        catalog_acts.switch_route(standing.user, route, enabled=to == "on")
    return redirect("model", model_id)


@on_instance
def route_delete(request: HttpRequest, standing: Standing, model_id: int, route_id: int) -> HttpResponse:
    route = _find(model_id, route_id)
    if request.method == "POST":
        catalog_acts.remove_route(standing.user, route)
        messages.success(request, gettext("The route is deleted."))
        return redirect("model", model_id)
    is_last = not route.model.routes.filter(enabled=True, provider__enabled=True).exclude(pk=route.pk).exists()
    return render(request, "dashboard/catalog/route_delete.html", {"route": route, "is_last": is_last})


def _find(model_id: int, route_id: int) -> Route:
    """Only below its own model."""
    return get_object_or_404(Route.objects.select_related("model", "provider"), pk=route_id, model_id=model_id)
