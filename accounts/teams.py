"""What is set for a team: by its own admins, and by the administrators of the platform."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts import audit
from accounts.models import Membership, Team, User


@transaction.atomic
def create(actor: User, team: Team, *, owned: bool) -> None:
    """With `owned`, the maker is its owner; else an invitation makes one."""
    team.save()
    if owned:
        Membership.objects.create(user=actor, team=team, role=Membership.Role.OWNER)
    audit.record(actor, "team.create", team, team, tier=team.tier.name, time_zone=team.time_zone)


@transaction.atomic
def change(actor: User, team: Team, **wanted: object) -> None:
    """`wanted` by column. Says nothing where nothing changed. The gateway follows within two seconds."""
    held = Team.objects.select_for_update().get(pk=team.pk)
    changed = audit.differences(held, wanted)
    if not changed:
        return
    for column, value in wanted.items():
        setattr(held, column, value)
        setattr(team, column, value)
    held.save(update_fields=list(wanted))
    audit.record(actor, "team.change", held, held, **changed)


@transaction.atomic
def archive(actor: User, team: Team, now: datetime) -> None:
    """Its keys stop within two seconds and its members see it no more; keys, calls and costs stay. Harmless when sent
    twice."""
    held = Team.objects.select_for_update().get(pk=team.pk)
    if held.archived_at is None:
        held.archived_at = now
        held.save(update_fields=["archived_at"])
        audit.record(actor, "team.archive", held, held)


@transaction.atomic
def restore(actor: User, team: Team) -> None:
    """Its keys that are neither revoked nor expired work again."""
    held = Team.objects.select_for_update().get(pk=team.pk)
    if held.archived_at is not None:
        held.archived_at = None
        held.save(update_fields=["archived_at"])
        audit.record(actor, "team.restore", held, held)
