"""Tiers: the list in its order, making and changing one, deleting one that no team is on."""

from __future__ import annotations

from django.contrib import messages
from django.db import IntegrityError
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext

from accounts import tiers
from accounts.models import Team, Tier
from accounts.policy import Standing
from usage.dashboard.administration.forms import TierForm
from usage.dashboard.catalog.leaving import leave, said_to_be_taken
from usage.dashboard.frame import on_instance

LIVE_TEAMS = Q(teams__archived_at=None)
ARCHIVED_TEAMS = Q(teams__archived_at__isnull=False)


@on_instance
def tier_list(request: HttpRequest, standing: Standing) -> HttpResponse:
    found = Tier.objects.annotate(
        team_count=Count("teams", filter=LIVE_TEAMS), archived_count=Count("teams", filter=ARCHIVED_TEAMS)
    )
    # A sum over groups drops the order of the model.
    found = found.order_by("position", "pk")
    return render(request, "dashboard/administration/tiers.html", {"tiers": found})


@on_instance
def tier_edit(request: HttpRequest, standing: Standing, tier_id: int | None = None) -> HttpResponse:
    """A new tier without `tier_id`. New limits hold for every team on it within two seconds."""
    tier = get_object_or_404(Tier, pk=tier_id) if tier_id is not None else Tier()
    form = TierForm(request.POST or None, instance=tier)
    if request.method == "POST" and form.is_valid():
        try:
            tiers.save(standing.user, form.save(commit=False))
        except IntegrityError:
            said_to_be_taken(form, "name")
        else:
            said = gettext("%(name)s is saved. Its limits hold within two seconds.")
            messages.success(request, said % {"name": tier.name})
            return leave(request, reverse("tiers"))
    touched = Team.objects.filter(tier_id=tier_id, archived_at=None).count() if tier_id else 0
    context = {"form": form, "tier": tier, "touched": touched}
    return render(request, "dashboard/administration/tier.html", context)


@on_instance
def tier_move(request: HttpRequest, standing: Standing, tier_id: int) -> HttpResponse:
    tier = get_object_or_404(Tier, pk=tier_id)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    tiers.move(standing.user, tier, up=request.POST.get("to") == "up")
    return leave(request, reverse("tiers"))


@on_instance
def tier_delete(request: HttpRequest, standing: Standing, tier_id: int) -> HttpResponse:
    tier = get_object_or_404(Tier, pk=tier_id)
    using = Team.objects.filter(tier=tier).count()
    if request.method == "POST":
        try:
            tiers.delete(standing.user, tier)
        except tiers.TierInUse:
            # Said by the page: somebody put a team on it meanwhile.
            using = Team.objects.filter(tier_id=tier_id).count()
        else:
            messages.success(request, gettext("%(name)s is deleted.") % {"name": tier.name})
            return leave(request, reverse("tiers"))
    return render(request, "dashboard/administration/tier_delete.html", {"tier": tier, "using": using})
