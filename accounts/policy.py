"""Who may do what: one table. Pages and forms ask here and nowhere else.

Below, a role has the actions of its line and of every line above it. Administrators of the platform have the standing
of an owner in every team, and the platform besides. `table()` is the same for people to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership, Team, User

ADMINISTRATOR = "administrator"
Role = Membership.Role


class Action(StrEnum):
    """What a page or a form asks for. `SAID` puts each into words."""

    SEE_USAGE = "see usage"
    SEE_OWN_CALLS = "see own calls"
    SEE_ALL_CALLS = "see all calls"
    MANAGE_OWN_KEYS = "manage own keys"
    MANAGE_ALL_KEYS = "manage all keys"
    USE_PLAYGROUND = "use the playground"
    SHARE_VIEWS = "share views"
    SEE_TEAM = "see the team"
    SEE_AUDIT = "see the audit log"
    MANAGE_TEAM = "manage the team"
    MANAGE_OWNERS = "manage owners"
    MANAGE_PLATFORM = "manage platform"


_VIEWER = frozenset({Action.SEE_USAGE})
_MEMBER = _VIEWER | {
    Action.SEE_OWN_CALLS,
    Action.MANAGE_OWN_KEYS,
    Action.USE_PLAYGROUND,
    Action.SHARE_VIEWS,
    Action.SEE_TEAM,
}
_ADMIN = _MEMBER | {Action.SEE_ALL_CALLS, Action.MANAGE_ALL_KEYS, Action.SEE_AUDIT, Action.MANAGE_TEAM}
_OWNER = _ADMIN | {Action.MANAGE_OWNERS}

# "Own" means made with a key that this user created.
ALLOWED: dict[str, frozenset[Action]] = {
    Role.VIEWER: _VIEWER,
    Role.MEMBER: _MEMBER,
    Role.ADMIN: _ADMIN,
    Role.OWNER: _OWNER,
    ADMINISTRATOR: _OWNER | {Action.MANAGE_PLATFORM},
}

# In the order people read them: from what everyone may to what one role may.
SAID: dict[Action, Promise] = {
    Action.SEE_USAGE: _("See the team's numbers: cost, tokens, calls, limits"),
    Action.SEE_OWN_CALLS: _("See the calls made with one's own keys, and their receipts"),
    Action.SEE_ALL_CALLS: _("See every call of the team"),
    Action.MANAGE_OWN_KEYS: _("Create, change and revoke one's own keys"),
    Action.MANAGE_ALL_KEYS: _("Create, change and revoke every key of the team"),
    Action.USE_PLAYGROUND: _("Try models in the playground"),
    Action.SHARE_VIEWS: _("Share views of the explorer with the team"),
    Action.SEE_TEAM: _("See who is in the team"),
    Action.SEE_AUDIT: _("Read the team's audit log"),
    Action.MANAGE_TEAM: _("Invite and remove members, change roles and the team's settings"),
    Action.MANAGE_OWNERS: _("Make owners, and take that back"),
    Action.MANAGE_PLATFORM: _("Run the platform: teams, tiers, providers, models, prices, settings"),
}


@dataclass(frozen=True)
class Table:
    """`lines`: an action in words, and for each role whether it may."""

    roles: tuple[str, ...]
    lines: tuple[tuple[str, tuple[bool, ...]], ...]


def table(*, with_platform: bool = False) -> Table:
    """Who may do what, in the reader's language; without the platform, what matters inside a team."""
    roles = [*Role, *([ADMINISTRATOR] if with_platform else [])]
    actions = [action for action in SAID if with_platform or action != Action.MANAGE_PLATFORM]
    # From the least to the most, as the lines go.
    roles.sort(key=lambda role: len(ALLOWED[role]))
    return Table(
        tuple(role_name(role) for role in roles),
        tuple((str(SAID[action]), tuple(action in ALLOWED[role] for role in roles)) for action in actions),
    )


def role_name(role: str) -> str:
    """In the reader's language."""
    return gettext("Administrator") if role == ADMINISTRATOR else str(Role(role).label).capitalize()


@dataclass(frozen=True)
class Standing:
    """A user's role where they are: in a team, or (team is None) on the whole instance."""

    user: User
    team: Team | None
    role: str

    def may(self, action: Action) -> bool:
        return action in ALLOWED[self.role]

    @property
    def role_name(self) -> str:
        return role_name(self.role)

    @property
    def sees_all_calls(self) -> bool:
        return self.may(Action.SEE_ALL_CALLS)

    @property
    def sees_calls(self) -> bool:
        return self.may(Action.SEE_OWN_CALLS)

    @property
    def sees_keys(self) -> bool:
        return self.may(Action.MANAGE_OWN_KEYS)

    @property
    def runs_platform(self) -> bool:
        return self.may(Action.MANAGE_PLATFORM)

    def may_manage_key_of(self, creator_id: int | None) -> bool:
        if self.may(Action.MANAGE_ALL_KEYS):
            return True
        return self.may(Action.MANAGE_OWN_KEYS) and creator_id == self.user.pk


def standing_in(user: User, team_id: int) -> Standing | None:
    """None when there is no such team for this user, whether or not it exists. One query."""
    team = Team.objects.select_related("tier").filter(pk=team_id)
    if user.is_staff:
        found = team.first()
        return Standing(user, found, ADMINISTRATOR) if found else None
    membership = (
        Membership.objects.select_related("team__tier")
        .filter(user=user, team_id=team_id, team__archived_at=None)
        .first()
    )
    return Standing(user, membership.team, membership.role) if membership else None


def standing_on_instance(user: User) -> Standing | None:
    """None for everyone but platform administrators."""
    return Standing(user, None, ADMINISTRATOR) if user.is_staff else None


def teams_of(user: User) -> list[Team]:
    """The teams this user may open, by name. One query."""
    teams = Team.objects.select_related("tier").filter(archived_at=None)
    return list(teams if user.is_staff else teams.filter(memberships__user=user))
