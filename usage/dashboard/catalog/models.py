"""Models: the list, one model with its routes, making and changing it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import IntegrityError
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.policy import Standing
from usage import catalog, catalog_acts
from usage.dashboard.catalog.leaving import filters_of, leave, only_post, said_to_be_taken
from usage.dashboard.catalog.model_form import ModelForm, form_for
from usage.dashboard.catalog.priced import Priced, price_of
from usage.dashboard.frame import on_instance
from usage.models import Model, Provider, Route
from usage.pricing import PriceBook
from usage.reports import catalog_use, colours
from usage.reports.catalog_use import Use

A_PAGE = 200
LONGEST_SEARCH = 200
SOON_DAYS = 60
FILTERS = ("q", "provider", "kind", "state")
STATES = (
    ("", _("All states")),
    ("on", _("On")),
    ("off", _("Off")),
    ("unrouted", _("Without a route")),
    ("unpriced", _("Without a price")),
    ("shutdown", _("Shut down, or soon")),
)


@dataclass(frozen=True)
class Row:
    """One model in the list."""

    model: Model
    routes: list[Route]
    # Of the route that is tried first.
    price: Priced
    use: Use
    shutdown: str

    @property
    def live_routes(self) -> list[Route]:
        return [route for route in self.routes if route.enabled and route.provider.enabled]

    def is_in(self, state: str) -> bool:
        return {
            "on": self.model.enabled,
            "off": not self.model.enabled,
            "unrouted": not self.live_routes,
            "unpriced": self.price.version_id is None,
            "shutdown": bool(self.shutdown),
        }.get(state, True)


@on_instance
def model_list(request: HttpRequest, standing: Standing) -> HttpResponse:
    query = request.GET
    now = timezone.now()
    book, uses = catalog.prices_at(now), catalog_use.by_model(now)
    rows = [_row(model, book, uses, now) for model in _wanted(query)]
    state = query.get("state", "")
    shown = [row for row in rows if row.is_in(state)]
    page = Paginator(shown, A_PAGE).get_page(query.get("page"))
    context = {
        "page": page,
        "found_count": len(shown),
        "colours": colours.of(()),
        "providers": Provider.objects.order_by("name"),
        "kinds": Model.Kind.choices,
        "states": STATES,
        "chosen": {name: query.get(name, "")[:LONGEST_SEARCH] for name in FILTERS},
        "is_filtered": any(query.get(name) for name in FILTERS),
        "query": filters_of(query, FILTERS),
    }
    return render(request, "dashboard/catalog/models.html", context)


@on_instance
def model_page(request: HttpRequest, standing: Standing, model_id: int) -> HttpResponse:
    model = get_object_or_404(_with_routes(), pk=model_id)
    now = timezone.now()
    book = catalog.prices_at(now)
    context = {
        "model": model,
        "row": _row(model, book, catalog_use.by_model(now), now),
        "routes": [(route, price_of(route, book, now)) for route in model.routes.all()],
        "colours": colours.of((model.name,)),
    }
    return render(request, "dashboard/catalog/model.html", context)


@on_instance
def model_new(request: HttpRequest, standing: Standing) -> HttpResponse:
    form = form_for(None, request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return _sheet(request, form)
    try:
        model = catalog_acts.add_model(standing.user, form.wanted)
    except IntegrityError:
        said_to_be_taken(form, "name")
        return _sheet(request, form)
    messages.success(request, gettext("%(name)s is added. Give it a route, so that it answers.") % {"name": model.name})
    return leave(request, reverse("model", args=[model.pk]))


@on_instance
def model_change(request: HttpRequest, standing: Standing, model_id: int) -> HttpResponse:
    model = get_object_or_404(Model, pk=model_id)
    form = form_for(model, request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return _sheet(request, form, model)
    catalog_acts.change_model(standing.user, model.pk, form.wanted)
    messages.success(
        request, gettext("%(name)s is saved. The gateway knows within two seconds.") % {"name": model.name}
    )
    return leave(request, reverse("model", args=[model.pk]))


@on_instance
def model_switch(request: HttpRequest, standing: Standing, model_id: int) -> HttpResponse:
    model = get_object_or_404(Model, pk=model_id)
    if request.method != "POST":
        return only_post()
    enabled = request.POST.get("to") == "on"
    catalog_acts.switch_model(standing.user, model.pk, enabled=enabled)
    said = (
        gettext("%(name)s is on: calls to it are answered again.")
        if enabled
        else gettext("%(name)s is off: within two seconds calls to it get model_not_found.")
    )
    messages.success(request, said % {"name": model.name})
    return redirect("model", model.pk)


def _with_routes() -> QuerySet[Model]:
    return Model.objects.prefetch_related(Prefetch("routes", Route.objects.select_related("provider")))


def _wanted(query: QueryDict) -> QuerySet[Model]:
    """By name, provider and kind. What is no provider or kind filters nothing."""
    found = _with_routes()
    text = query.get("q", "")[:LONGEST_SEARCH].replace("\0", "").strip()
    if text:
        found = found.filter(Q(name__icontains=text) | Q(display_name__icontains=text) | Q(owned_by__icontains=text))
    provider = query.get("provider", "")
    if provider.isascii() and provider.isdigit() and len(provider) < 10:
        found = found.filter(routes__provider_id=int(provider)).distinct()
    if query.get("kind") in Model.Kind.values:
        found = found.filter(kind=query["kind"])
    return found


def _row(model: Model, book: PriceBook, uses: dict[str, Use], now: datetime) -> Row:
    routes = list(model.routes.all())
    first = next((route for route in routes if route.enabled and route.provider.enabled), None)
    return Row(
        model,
        routes,
        price_of(first, book, now),
        uses.get(model.name, catalog_use.NO_USE),
        _shutdown(model.shutdown_date, now.date()),
    )


def _shutdown(day: date | None, today: date) -> str:
    """ "past", "soon", or "" when there is nothing to say."""
    if day is None or (day - today).days > SOON_DAYS:
        return ""
    return "past" if day <= today else "soon"


def _sheet(request: HttpRequest, form: ModelForm, model: Model | None = None) -> HttpResponse:
    stored = Model.objects.get(pk=model.pk) if model else None
    return render(request, "dashboard/catalog/model_form.html", {"form": form, "model": stored})
