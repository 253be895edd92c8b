"""`GET /v1/me`: who this key is, how far from each limit, and what its team has spent."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import AdminKey, ApiKey, Team
from usage import headroom
from usage.api.authentication import AnyKeyAuthentication
from usage.api.view import ApiView
from usage.reports import exact, models_so_far
from usage.reports.span import INSTANCE, Scope, scope_of

LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")


class MeView(ApiView):
    """An ordinary key sees its own team; an admin key, which belongs to none, the whole instance."""

    authentication_classes = [AnyKeyAuthentication]

    def get(self, request: Request) -> Response:
        key = cast(AdminKey | ApiKey, request.auth)
        now = timezone.now()
        answer: dict[str, Any] = {"object": "me", "key": _key(key), "team": None, "tier": None, "headroom": None}
        if isinstance(key, AdminKey):
            return Response(answer | {"spend": _spend(INSTANCE, now)})
        answer |= {"team": _team(key.team), "tier": _tier(key.team), "headroom": _headroom(key)}
        return Response(answer | {"spend": _spend(scope_of(key.team), now)})


def _key(key: ApiKey | AdminKey) -> dict[str, Any]:
    is_admin = isinstance(key, AdminKey)
    return {
        "id": f"key_{key.pk}" if isinstance(key, ApiKey) else f"admin_key_{key.pk}",
        "object": "organization.admin_api_key" if is_admin else "organization.project.api_key",
        "name": key.name,
        "redacted_value": key.redacted,
        "created_at": int(key.created_at.timestamp()),
        "expires_at": int(key.expires_at.timestamp()) if key.expires_at else None,
        "limits": None if is_admin else {name: getattr(key, name) for name in LIMITS},
    }


def _team(team: Team) -> dict[str, Any]:
    return {"id": team.public_id, "name": team.name, "time_zone": team.time_zone}


def _tier(team: Team) -> dict[str, Any]:
    """A limit that is null is no limit."""
    return {"name": team.tier.name} | {name: getattr(team.tier, name) for name in LIMITS}


def _headroom(key: ApiKey) -> list[dict[str, Any]] | None:
    """Null when no limiter runs in this process: unknown, not unlimited."""
    of_team = headroom.of_team(key.team_id)
    return [gauge._asdict() for gauge in (*of_team, *headroom.of_key(key.pk))] if of_team else None


def _spend(scope: Scope, now: datetime) -> dict[str, Any]:
    today, month = models_so_far.today_and_month(scope, now)
    return {"time_zone": scope.zone.key, "today": _so_far(today), "this_month": _so_far(month)}


def _so_far(spend: models_so_far.Spend) -> dict[str, Any]:
    models = sorted(spend.models.values(), key=lambda model: (-model.cost_nano_usd, model.model))
    return {
        "since": spend.first_day.isoformat(),
        **_money(spend.total("cost_nano_usd")),
        "unpriced_calls": spend.total("unpriced_calls"),
        "models": [_model(model) for model in models],
    }


def _model(spend: models_so_far.ModelSpend) -> dict[str, Any]:
    return {
        "model": spend.model,
        "calls": spend.calls,
        "refused_calls": spend.refused_calls,
        "unpriced_calls": spend.unpriced_calls,
        "tokens": spend.tokens,
        **_money(spend.cost_nano_usd),
    }


def _money(nano_usd: int) -> dict[str, int | str]:
    return {"cost_nano_usd": nano_usd, "cost_usd": exact.usd(nano_usd)}
