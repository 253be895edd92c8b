"""The list of a team's keys: found, filtered, sorted, a page at a time. All of it in the address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Exists, OuterRef, Q, QuerySet, prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from accounts.models import ApiKey, KeySecret
from accounts.policy import Action, Standing
from usage.dashboard.frame import in_team
from usage.dashboard.keys import states
from usage.dashboard.keys.visible import WITH_SECRETS, visible
from usage.reports import colours
from usage.reports.keys import Use, cost_this_month, use_of_each
from usage.reports.span import scope_of

A_PAGE = 50
LONGEST_SEARCH = 100
MOST_SWATCHES = 4
SORTS = ("used", "spend", "name", "created")
FILTERS = ("", states.LIVE, states.ROTATING, states.EXPIRED, states.REVOKED)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Asked:
    """What the address asks for; what it cannot mean falls back to the default."""

    search: str = ""
    state: str = ""
    sort: str = SORTS[0]
    page: int = 1

    def query(self, **other: Any) -> str:
        """The address of the same list with something else; defaults are left out."""
        wanted = {"q": self.search, "state": self.state, "sort": self.sort, "page": 1, **other}
        usual = {"q": "", "state": "", "sort": SORTS[0], "page": 1}
        return "?" + urlencode({name: value for name, value in wanted.items() if value != usual[name]})


@dataclass(frozen=True)
class Row:
    key: ApiKey
    state: str
    use: Use
    rotation: states.Rotation | None
    limits: Sequence[states.Effective]

    @property
    def swatches(self) -> Sequence[str]:
        allowed: list[str] = self.key.allowed_models
        return allowed[:MOST_SWATCHES]


@in_team(Action.MANAGE_OWN_KEYS)
def key_list(request: HttpRequest, standing: Standing) -> HttpResponse:
    asked, now = _asked(request), timezone.now()
    assert standing.team
    found = list(_matching(visible(standing), asked.search, now))
    state_of = {key.pk: states.of_key(key, now, is_rotating=key.has_ending_secret) for key in found}  # type: ignore[attr-defined]
    scope = scope_of(standing.team)
    spent = cost_this_month(scope, now) if asked.sort == "spend" else {}
    chosen = _sorted([key for key in found if _is_in(state_of[key.pk], asked.state)], asked.sort, spent, now)
    pages = max(1, -(-len(chosen) // A_PAGE))
    page = min(asked.page, pages)
    shown = chosen[(page - 1) * A_PAGE : page * A_PAGE]
    prefetch_related_objects(shown, WITH_SECRETS, "created_by")
    uses = use_of_each(scope, [key.pk for key in shown], now)
    rows = [_row(key, state_of[key.pk], uses, standing, now) for key in shown]
    context = {
        "asked": asked,
        "rows": rows,
        "matches": len(chosen),
        "first": (page - 1) * A_PAGE + 1,
        "last": (page - 1) * A_PAGE + len(shown),
        "newer": asked.query(page=page - 1) if page > 1 else "",
        "older": asked.query(page=page + 1) if page < pages else "",
        "filters": _filters(asked, Counter(state_of.values())),
        "sorts": {sort: asked.query(sort=sort) for sort in SORTS},
        "counts": Counter(state_of.values()),
        "is_asked": bool(asked.search or asked.state),
        "colours": colours.of(model for row in rows for model in row.swatches),
        "zone": standing.team.zone,
        "now": now,
    }
    return render(request, "dashboard/keys/list.html", context)


def _asked(request: HttpRequest) -> Asked:
    state, sort, page = (request.GET.get(name, "") for name in ("state", "sort", "page"))
    return Asked(
        request.GET.get("q", "").replace("\0", "").strip()[:LONGEST_SEARCH],
        state if state in FILTERS else "",
        sort if sort in SORTS else SORTS[0],
        int(page) if page.isascii() and page.isdigit() and 0 < len(page) < 6 and int(page) else 1,
    )


def _matching(found: QuerySet[ApiKey], search: str, now: datetime) -> QuerySet[ApiKey]:
    """By name, tag, or what is shown of a secret, as one finds it in a program's log."""
    secrets = KeySecret.objects.filter(key=OuterRef("pk"))
    if search:
        shown = Exists(secrets.filter(redacted__contains=search))
        found = found.filter(Q(name__icontains=search) | Q(tag__icontains=search) | Q(shown))
    return found.annotate(has_ending_secret=Exists(secrets.filter(revoked_at=None, expires_at__gt=now)))


def _is_in(state: str, wanted: str) -> bool:
    """A key that is being rotated is live."""
    return not wanted or state == wanted or (wanted == states.LIVE and state == states.ROTATING)


def _sorted(found: list[ApiKey], sort: str, spent: dict[int, int], now: datetime) -> list[ApiKey]:
    """What works stands above what does not, whatever the order."""
    orders: dict[str, Any] = {
        "used": lambda key: -(key.last_used_at or LONG_AGO).timestamp(),
        "spend": lambda key: -spent.get(key.pk, 0),
        "name": lambda key: key.name.casefold(),
        "created": lambda key: -key.created_at.timestamp(),
    }
    order = orders[sort]
    return sorted(found, key=lambda key: (states.is_gone(key, now), order(key), -key.pk))


def _row(key: ApiKey, state: str, uses: dict[int, Use], standing: Standing, now: datetime) -> Row:
    assert standing.team
    rotation = states.rotation_of(key, now) if state == states.ROTATING else None
    limits = states.effective_limits(key, standing.team.tier)
    return Row(key, state, uses.get(key.pk, Use()), rotation, [limit for limit in limits if not limit.is_teams])


def _filters(asked: Asked, counts: Counter[str]) -> list[dict[str, Any]]:
    live = counts[states.LIVE] + counts[states.ROTATING]
    numbers = {"": counts.total(), **counts, states.LIVE: live}
    return [
        {
            "state": state,
            "query": asked.query(state=state),
            "count": numbers.get(state, 0),
            "is_on": state == asked.state,
        }
        for state in FILTERS
    ]
