"""Teams, as the platform sees them: the list, one team's page, making, changing and archiving one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from accounts import audit_log, instance, invitations, teams
from accounts.models import ApiKey, Membership, Team, Tier
from accounts.policy import Standing
from usage.dashboard.administration import words
from usage.dashboard.administration.forms import NewTeamForm, TeamForm
from usage.dashboard.catalog.leaving import leave
from usage.dashboard.frame import on_instance
from usage.dashboard.keys.forms import Once
from usage.reports.teams import SoFar, so_far

A_PAGE = 50
SORTS = ("name", "spend", "calls", "newest")
LONGEST_SEARCH = 200
SHOWN_ENTRIES = 10


@dataclass(frozen=True)
class Row:
    """A team with what the list says about it. `members` and `keys` are counted for the rows of one page only."""

    team: Team
    so_far: SoFar
    members: int = 0
    keys: int = 0


@dataclass(frozen=True)
class Asked:
    """The list's filters, as its address names them; what it does not know becomes the default."""

    search: str
    tier: int | None
    archived: bool
    sort: str
    page: int

    @classmethod
    def of(cls, query: QueryDict) -> Asked:
        sort = query.get("sort", "")
        return cls(
            search=query.get("q", "").replace("\0", "").strip()[:LONGEST_SEARCH],
            tier=_number(query.get("tier", "")),
            archived=query.get("state") == "archived",
            sort=sort if sort in SORTS else "name",
            page=_number(query.get("page", "")) or 1,
        )

    @property
    def is_narrowed(self) -> bool:
        return bool(self.search or self.tier)


@on_instance
def team_list(request: HttpRequest, standing: Standing) -> HttpResponse:
    asked, now = Asked.of(request.GET), timezone.now()
    found = list(_asked_for(asked))
    # All of them, not only this page's: the list can be ordered by them.
    sums = so_far(found, now)
    found.sort(key=_order(asked.sort, sums))
    page = Paginator(found, A_PAGE).get_page(asked.page)
    context = {
        "asked": asked,
        "page": page,
        "rows": _rows(list(page.object_list), sums, now),
        "tiers": Tier.objects.all(),
        "count": len(found),
        "spend": sum(sums[team.pk].month_nano_usd for team in found),
        "sorts": SORTS,
        "query": _query_without_page(request.GET),
    }
    return render(request, "dashboard/administration/teams.html", context)


@on_instance
def team_page(request: HttpRequest, standing: Standing, team_id: int) -> HttpResponse:
    shown, now = _team(team_id), timezone.now()
    entries = audit_log.page(audit_log.Wanted(team_id=shown.pk), size=SHOWN_ENTRIES)
    members = Membership.objects.filter(team=shown).select_related("user").order_by("created_at", "pk")
    context = {
        "shown": shown,
        "so_far": so_far([shown], now)[shown.pk],
        "members": members,
        "key_count": _live_keys([shown], now).get(shown.pk, 0),
        "told": words.tell(entries.entries, of_team=shown),
        "zone": shown.zone,
    }
    return render(request, "dashboard/administration/team.html", context)


@on_instance
def team_new(request: HttpRequest, standing: Standing) -> HttpResponse:
    form = NewTeamForm(request.POST or None, of_instance=instance.current())
    if request.method != "POST" or not form.is_valid():
        return render(request, "dashboard/administration/team_new.html", {"form": form})
    if not Once(request.session).claim(form.cleaned_data["ticket"]):
        messages.info(request, gettext("This form was sent twice; one team was made."))
        return leave(request, reverse("teams"))
    made, owner = form.save(commit=False), form.cleaned_data["owner_email"].strip().lower()
    is_own = not owner or owner == standing.user.email.lower()
    teams.create(standing.user, made, owned=is_own)
    if is_own:
        messages.success(request, gettext("%(name)s is made.") % {"name": made.name})
    else:
        _, was_sent = invitations.invite(standing.user, made, owner, Membership.Role.OWNER, request)
        said = (
            gettext("%(name)s is made, and %(email)s is invited to own it.")
            if was_sent
            else gettext("%(name)s is made. The invitation to %(email)s could not be sent: send it again on its page.")
        )
        messages.success(request, said % {"name": made.name, "email": owner})
    return leave(request, reverse("team", args=[made.pk]))


@on_instance
def team_change(request: HttpRequest, standing: Standing, team_id: int) -> HttpResponse:
    changed = _team(team_id)
    form = TeamForm(request.POST or None, instance=Team.objects.get(pk=team_id))
    if request.method == "POST" and form.is_valid():
        teams.change(standing.user, changed, **form.cleaned_data)
        messages.success(request, gettext("%(name)s is saved.") % {"name": changed.name})
        return leave(request, reverse("team", args=[changed.pk]))
    return render(request, "dashboard/administration/team_change.html", {"form": form, "changed": changed})


@on_instance
def team_archive(request: HttpRequest, standing: Standing, team_id: int) -> HttpResponse:
    """Both ways: an archived team is brought back by the same page."""
    shown, now = _team(team_id), timezone.now()
    if request.method != "POST":
        context = {"shown": shown, "key_count": _live_keys([shown], now).get(shown.pk, 0)}
        return render(request, "dashboard/administration/team_archive.html", context)
    if request.POST.get("to") == "restore":
        teams.restore(standing.user, shown)
        messages.success(request, gettext("%(name)s is back: its keys work again.") % {"name": shown.name})
    else:
        teams.archive(standing.user, shown, now)
        messages.success(
            request, gettext("%(name)s is archived: its keys stop within two seconds.") % {"name": shown.name}
        )
    return leave(request, reverse("team", args=[shown.pk]))


def _asked_for(asked: Asked) -> QuerySet[Team]:
    found = Team.objects.select_related("tier").filter(archived_at__isnull=not asked.archived)
    if asked.search:
        found = found.filter(Q(name__icontains=asked.search) | Q(memberships__user__email__iexact=asked.search))
        found = found.distinct()
    return found.filter(tier_id=asked.tier) if asked.tier else found


def _number(given: str) -> int | None:
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else None


def _order(sort: str, sums: dict[int, SoFar]) -> Any:
    return {
        "name": lambda team: (team.name.lower(), team.pk),
        "spend": lambda team: (-sums[team.pk].month_nano_usd, team.name.lower()),
        "calls": lambda team: (-sums[team.pk].calls_today, team.name.lower()),
        "newest": lambda team: -team.pk,
    }[sort]


def _rows(shown: Sequence[Team], sums: dict[int, SoFar], now: datetime) -> list[Row]:
    members = _counts(Membership.objects.filter(team__in=[team.pk for team in shown]))
    keys = _live_keys(shown, now)
    return [Row(team, sums[team.pk], members.get(team.pk, 0), keys.get(team.pk, 0)) for team in shown]


def _live_keys(shown: Sequence[Team], now: datetime) -> dict[int, int]:
    keys = ApiKey.objects.filter(team__in=[team.pk for team in shown], revoked_at=None)
    return _counts(keys.filter(Q(expires_at=None) | Q(expires_at__gt=now)))


def _counts(rows: Any) -> dict[int, int]:
    return dict(rows.order_by().values_list("team_id").annotate(Count("pk")))


def _query_without_page(query: QueryDict) -> str:
    kept = query.copy()
    kept.pop("page", None)
    return kept.urlencode()


def _team(team_id: int) -> Team:
    return get_object_or_404(Team.objects.select_related("tier"), pk=team_id)
