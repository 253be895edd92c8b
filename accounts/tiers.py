"""Tiers and teams as an administrator changes them: each change with its line in the audit trail."""

from __future__ import annotations

from django.db import transaction

from accounts import audit
from accounts.models import Membership, Team, Tier, User


@transaction.atomic
def save(actor: User, tier: Tier) -> None:
    """A new tier, or new limits for everyone on it."""
    action = "tier.create" if tier.pk is None else "tier.change"
    tier.save()
    audit.record(
        actor,
        action,
        None,
        tier,
        requests_per_minute=tier.requests_per_minute,
        tokens_per_minute=tier.tokens_per_minute,
        concurrent_requests=tier.concurrent_requests,
    )


@transaction.atomic
def save_team(actor: User, team: Team) -> None:
    """A new team belongs to who made it, so that somebody can invite the others."""
    is_new = team.pk is None
    team.save()
    if is_new:
        Membership.objects.create(user=actor, team=team, role=Membership.Role.OWNER)
    audit.record(
        actor, "team.create" if is_new else "team.change", team, team, tier=team.tier.name, time_zone=team.time_zone
    )
