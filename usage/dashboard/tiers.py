"""Tiers and teams, for platform administrators."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext

from accounts import tiers
from accounts.models import Team, Tier
from accounts.policy import Standing
from usage.dashboard.forms import TeamForm, TierForm
from usage.dashboard.frame import on_instance

LIVE_TEAMS = Q(teams__archived_at=None)


@on_instance
def tier_list(request: HttpRequest, standing: Standing) -> HttpResponse:
    found = Tier.objects.prefetch_related("teams").annotate(team_count=Count("teams", filter=LIVE_TEAMS))
    return render(request, "dashboard/tiers.html", {"tiers": found})


@on_instance
def tier_edit(request: HttpRequest, standing: Standing, tier_id: int | None = None) -> HttpResponse:
    """A new tier without `tier_id`. New limits hold for every team on it within two seconds."""
    tier = get_object_or_404(Tier, pk=tier_id) if tier_id else Tier(position=Tier.objects.count())
    form = TierForm(request.POST or None, instance=tier)
    if request.method == "POST" and form.is_valid():
        tiers.save(standing.user, form.save(commit=False))
        messages.success(
            request, gettext("%(name)s is saved. Its limits hold within two seconds.") % {"name": tier.name}
        )
        return redirect("tiers")
    return render(request, "dashboard/tier.html", {"form": form, "tier": tier})


@on_instance
def team_list(request: HttpRequest, standing: Standing) -> HttpResponse:
    live_keys = Count("keys", filter=Q(keys__revoked_at=None), distinct=True)
    found = Team.objects.filter(archived_at=None).select_related("tier")
    annotated = found.annotate(key_count=live_keys, member_count=Count("memberships", distinct=True))
    return render(request, "dashboard/teams.html", {"all_teams": annotated})


@on_instance
def team_edit(request: HttpRequest, standing: Standing, team_id: int | None = None) -> HttpResponse:
    edited = get_object_or_404(Team, pk=team_id) if team_id else Team()
    form = TeamForm(request.POST or None, instance=edited)
    if request.method == "POST" and form.is_valid():
        tiers.save_team(standing.user, form.save(commit=False))
        messages.success(request, gettext("%(name)s is saved.") % {"name": edited.name})
        return redirect("teams")
    return render(request, "dashboard/team.html", {"form": form, "edited": edited})
