"""A team's members: their roles, removing them, leaving. Each change ends the person's other sessions."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.http import HttpRequest

from accounts import audit, keys, sessions
from accounts.models import ApiKey, Membership, Team, User
from accounts.policy import Action, Standing

Role = Membership.Role
# From the least.
LADDER = (Role.VIEWER, Role.MEMBER, Role.ADMIN, Role.OWNER)


class NotAllowed(Exception):
    """This person's role does not reach that far."""


class LastOwner(Exception):
    """A team without an owner could not be handed on."""


def roles_open_to(standing: Standing) -> list[Role]:
    """The roles that they may give: none above their own, and only who manages owners makes one."""
    if not standing.may(Action.MANAGE_TEAM):
        return []
    return [role for role in LADDER if role != Role.OWNER or standing.may(Action.MANAGE_OWNERS)]


def may_touch(standing: Standing, membership: Membership) -> bool:
    """Change the role of, or remove."""
    needed = Action.MANAGE_OWNERS if membership.role == Role.OWNER else Action.MANAGE_TEAM
    return standing.may(needed)


def change_role(standing: Standing, membership: Membership, role: str, request: HttpRequest) -> None:
    """Raises NotAllowed and LastOwner."""
    with transaction.atomic():
        membership = _held(membership)
        before = membership.role
        if before == role:
            return
        if not may_touch(standing, membership) or role not in roles_open_to(standing):
            raise NotAllowed
        _keep_an_owner(membership, role)
        membership.role = role
        membership.save(update_fields=["role"])
        audit.record(standing.user, "member.role", membership.team, membership.user, old=before, new=role)
        sessions.end_after_change(request, membership.user)


def remove(
    standing: Standing, membership: Membership, now: datetime, request: HttpRequest, *, revoke_keys: bool
) -> int:
    """Their keys stay the team's unless `revoke_keys`; how many were revoked. Raises NotAllowed and LastOwner."""
    with transaction.atomic():
        membership = _held(membership)
        if not may_touch(standing, membership):
            raise NotAllowed
        return _take_out(standing.user, "member.remove", membership, now, request, revoke_keys=revoke_keys)


def leave(user: User, team: Team, now: datetime, request: HttpRequest) -> None:
    """Their keys stay the team's. Raises LastOwner, and Membership.DoesNotExist when they have left already."""
    with transaction.atomic():
        membership = _held(Membership.objects.get(user=user, team=team))
        _take_out(user, "member.leave", membership, now, request, revoke_keys=False)


def live_keys_of(user: User, team: Team) -> list[ApiKey]:
    return list(ApiKey.objects.filter(team=team, created_by=user, revoked_at=None))


def _take_out(
    actor: User, action: str, membership: Membership, now: datetime, request: HttpRequest, *, revoke_keys: bool
) -> int:
    _keep_an_owner(membership, None)
    user, team = membership.user, membership.team
    theirs = live_keys_of(user, team) if revoke_keys else []
    for key in theirs:
        keys.revoke(actor, key, now)
    audit.record(actor, action, team, user, role=membership.role, keys_revoked=len(theirs))
    membership.delete()
    sessions.end_after_change(request, user)
    return len(theirs)


def _held(membership: Membership) -> Membership:
    """As it is now. The team's row is held, so that two owners cannot demote each other at once."""
    Team.objects.select_for_update().get(pk=membership.team_id)
    return Membership.objects.select_related("user", "team").get(pk=membership.pk)


def _keep_an_owner(membership: Membership, role: str | None) -> None:
    if membership.role != Role.OWNER or role == Role.OWNER:
        return
    others = Membership.objects.filter(team_id=membership.team_id, role=Role.OWNER).exclude(pk=membership.pk)
    if not others.exists():
        raise LastOwner
