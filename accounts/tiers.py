"""Tiers as an administrator changes them: each change with its line in the audit trail."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Max

from accounts import audit
from accounts.models import Team, Tier, User

COLUMNS = ("name", "requests_per_minute", "tokens_per_minute", "concurrent_requests")


class TierInUse(Exception):
    """Teams are on it, archived ones included: their history names it."""


@transaction.atomic
def save(actor: User, tier: Tier) -> None:
    """A new tier, at the end of the list, or new limits for everyone on it within two seconds."""
    if tier.pk is None:
        tier.position = (Tier.objects.aggregate(last=Max("position"))["last"] or 0) + 1
        tier.save()
        audit.record(actor, "tier.create", None, tier, **{name: getattr(tier, name) for name in COLUMNS[1:]})
        return
    held = Tier.objects.select_for_update().get(pk=tier.pk)
    changed = audit.differences(held, {name: getattr(tier, name) for name in COLUMNS})
    if changed:
        tier.save(update_fields=COLUMNS)
        audit.record(actor, "tier.change", None, tier, **changed)


@transaction.atomic
def move(actor: User, tier: Tier, *, up: bool) -> None:
    """One place up or down the list; at its end nothing happens. Places are numbered anew, so that two never share
    one."""
    tiers = list(Tier.objects.select_for_update())
    old = next(at for at, each in enumerate(tiers) if each.pk == tier.pk)
    new = old - 1 if up else old + 1
    if not 0 <= new < len(tiers):
        return
    tiers[old], tiers[new] = tiers[new], tiers[old]
    for position, each in enumerate(tiers, start=1):
        # Not `save`: no call depends on the order, so the gateway need not hear of it.
        Tier.objects.filter(pk=each.pk).update(position=position)
    audit.record(actor, "tier.move", None, tier, position=[old + 1, new + 1])


@transaction.atomic
def delete(actor: User, tier: Tier) -> None:
    """Raises TierInUse."""
    held = Tier.objects.select_for_update().get(pk=tier.pk)
    if Team.objects.filter(tier=held).exists():
        raise TierInUse
    audit.record(actor, "tier.delete", None, held, **{name: getattr(held, name) for name in COLUMNS[1:]})
    held.delete()
