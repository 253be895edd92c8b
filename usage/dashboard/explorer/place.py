"""Where the explorer stands: whose usage, what its reader may ask, and the addresses of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from django.http import HttpRequest
from django.urls import reverse

from accounts.models import Team
from accounts.policy import Action, Standing
from usage.dashboard.explorer import address
from usage.dashboard.explorer.address import Asked, View
from usage.reports.explorer.question import OF_KEYS, OF_MODELS, Dimension
from usage.reports.span import Scope, scope_of

OWNS_NO_KEY = 0


@dataclass(frozen=True)
class Place:
    standing: Standing
    scope: Scope

    @classmethod
    def of(cls, standing: Standing) -> Place:
        return cls(standing, scope_of(standing.team))

    @property
    def team(self) -> Team | None:
        return self.standing.team

    @property
    def offered(self) -> frozenset[Dimension]:
        """A viewer sees numbers, never keys."""
        if self.team is None:
            return frozenset(Dimension)
        return OF_MODELS | OF_KEYS if self.standing.sees_keys else OF_MODELS

    @property
    def owner_id(self) -> int | None:
        """Whose keys alone have names here; None for everybody's."""
        if self.standing.may(Action.MANAGE_ALL_KEYS):
            return None
        return self.standing.user.pk if self.standing.sees_keys else OWNS_NO_KEY

    def today(self, now: datetime) -> date:
        return now.astimezone(self.scope.zone).date()

    def asked(self, request: HttpRequest) -> Asked:
        return address.parse(request.META.get("QUERY_STRING", ""), self.offered)

    def bare(self, part: str = "explorer", *arguments: object) -> str:
        if self.team is None:
            return reverse(f"instance-{part}", args=arguments)
        return reverse(part, args=(self.team.pk, *arguments))

    def url(self, view: View, part: str = "explorer", *arguments: object, also: str = "") -> str:
        """`also` is a parameter that is no part of the view."""
        query = "&".join(text for text in (address.build(view), also) if text)
        return f"{self.bare(part, *arguments)}?{query}" if query else self.bare(part, *arguments)

    @staticmethod
    def team_url(team_id: int) -> str:
        """A team's own explorer, from the instance's."""
        return reverse("explorer", args=(team_id,))
