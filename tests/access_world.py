"""Two teams with one of everything, and a reader of each role: what the access table is tried on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core import signing
from django.template.backends.base import BaseEngine
from django.test import Client
from django.utils import timezone

from accounts import invitations, profile
from accounts.models import Invitation, Membership, Team, User
from accounts.policy import ADMINISTRATOR
from tests import rows
from tests.people import signed_in
from usage.models import PriceVersion, Provider, Route, SavedView


class Blank:
    """Takes the place of a template that is found and drawn."""

    def render(self, context: Any = None, request: Any = None) -> str:
        return ""


class BlankTemplates(BaseEngine):
    """Who may open a page is settled before it is drawn; drawing thousands of them would take most of the time."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__({"NAME": params["NAME"], "DIRS": [], "APP_DIRS": False})

    def get_template(self, template_name: str) -> Any:
        return Blank()


Role = Membership.Role
FAR_AHEAD = datetime(2099, 1, 1, tzinfo=UTC)
ANONYMOUS, OUTSIDER = "anonymous", "outsider"
IN_TEAM = (Role.VIEWER, Role.MEMBER, Role.ADMIN, Role.OWNER, ADMINISTRATOR)
READERS = (ANONYMOUS, OUTSIDER, *IN_TEAM)


def make_key(team: Team, maker: User) -> int:
    return rows.key(team, "made for a look", created_by=maker)[0].pk


def make_call(team: Team, maker: User) -> str:
    return rows.event(rows.key(team, "that called", created_by=maker)[0], timezone.now())


def find_tier(team: Team, maker: User) -> int:
    return team.tier_id


def find_team(team: Team, maker: User) -> int:
    return team.pk


def make_admin_key(team: Team, maker: User) -> int:
    return rows.admin_key("made for a look", created_by=maker)[0].pk


def find_provider(team: Team, maker: User) -> int:
    # In a private network that nobody allowed: a look at it goes nowhere.
    return Provider.objects.get_or_create(name="Elsewhere", defaults={"base_url": "http://127.0.0.1:9/v1"})[0].pk


def find_model(team: Team, maker: User) -> int:
    return rows.embedding_model().pk


def find_route(team: Team, maker: User) -> int:
    target = {"model_id": find_model(team, maker), "provider_id": find_provider(team, maker)}
    return Route.objects.get_or_create(**target, upstream_model="text-embedding-3-small")[0].pk


def find_price_version(team: Team, maker: User) -> int:
    fields = {"price_book": "openai", "model": "gpt-4", "source": PriceVersion.BY_HAND, "valid_from": FAR_AHEAD}
    return PriceVersion.objects.get_or_create(**fields)[0].pk


def make_membership(team: Team, maker: User) -> int:
    """Nobody can be made by somebody: a new member each time."""
    user = User.objects.create_user(f"member-{team.pk}-{maker.pk}@example.com")
    return Membership.objects.create(user=user, team=team).pk


def make_invitation(team: Team, maker: User) -> int:
    return invite(team, maker, "list").pk


def make_token(team: Team, maker: User) -> str:
    invite(team, maker, token := f"token-{team.pk}-{maker.pk}")
    return token


def invite(team: Team, maker: User, token: str) -> Invitation:
    digest = invitations.digest(f"{token}-{team.pk}-{maker.pk}" if token == "list" else token)
    until = timezone.now() + timedelta(days=1)
    email = f"invited-{digest[:8]}@example.com"
    return Invitation.objects.create(team=team, email=email, invited_by=maker, token_digest=digest, expires_at=until)


def make_ticket(team: Team, maker: User) -> str:
    return signing.dumps([maker.pk, maker.email, f"new-{maker.email}"], salt=profile.SALT)


def make_view(team: Team, maker: User) -> int:
    return SavedView.objects.create(team=team, created_by=maker, name="made for a look", is_shared=True).pk


def make_instance_view(team: Team, maker: User) -> int:
    return SavedView.objects.create(created_by=maker, name="made for a look").pk


# An argument's name in the URL table -> how such an object comes about.
MAKERS: dict[str, Callable[[Team, User], Any]] = {
    "key_id": make_key,
    "request_id": make_call,
    "tier_id": find_tier,
    "membership_id": make_membership,
    "invitation_id": make_invitation,
    "token": make_token,
    "ticket": make_ticket,
    "view_id": make_view,
    "instance_view_id": make_instance_view,
    "provider_id": find_provider,
    "model_id": find_model,
    "route_id": find_route,
    "version_id": find_price_version,
    "admin_key_id": make_admin_key,
    # Only of pages below /instance/: below /t/ it is the team whose pages they are.
    "team_id": find_team,
}


class World:
    """Ada's team has a reader of each role. Grace owns the other team: she is the outsider."""

    def __init__(self) -> None:
        self.team, self.other_team = rows.team("Ada's team"), rows.team("Grace's team", "Pro")
        # Neither is a reader: "somebody else's" objects are theirs.
        self.colleague, self.stranger = (
            User.objects.create_user("alan@example.com"),
            User.objects.create_user("mallory@example.com"),
        )
        Membership.objects.create(user=self.colleague, team=self.team, role=Role.OWNER)
        self.users = {role: self._user(role) for role in READERS if role != ANONYMOUS}
        self._clients = {role: signed_in(user) for role, user in self.users.items()} | {ANONYMOUS: Client()}
        self._values: dict[tuple[str, int, int], Any] = {}

    def client(self, reader: str) -> Client:
        return self._clients[reader]

    def forget_objects(self) -> None:
        self._values.clear()

    def value(self, argument: str, team: Team, maker: User) -> Any:
        """Made once for each maker in a test, and found again at its next look."""
        known = (argument, team.pk, maker.pk)
        if known not in self._values:
            self._values[known] = MAKERS[argument](team, maker)
        return self._values[known]

    def _user(self, role: str) -> User:
        # Without a password: hashing one takes longer than all the rest.
        user = User.objects.create_user(f"{role}@example.com", is_staff=role == ADMINISTRATOR)
        if role == OUTSIDER:
            Membership.objects.create(user=user, team=self.other_team, role=Role.OWNER)
        elif role != ADMINISTRATOR:
            Membership.objects.create(user=user, team=self.team, role=role)
        return user
