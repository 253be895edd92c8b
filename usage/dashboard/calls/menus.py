"""The menus of the call log's filters: what a reader may choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext

from accounts.models import ApiKey, Team, User
from accounts.policy import Action, Standing
from usage.dashboard.calls.asked import AnyOf, CallForm, Choice
from usage.models import DayModelBucket, Outcome
from usage.reports import colours
from usage.reports.span import Scope, day_of

# As many as anyone would read through; the menu has a search field.
MOST_CHOICES = 500
MODELS_OF_DAYS = 90


@dataclass(frozen=True)
class Menu:
    """One filter of several values."""

    name: str
    label: str
    choices: Sequence[Choice]
    chosen: Sequence[str]

    @property
    def has_search(self) -> bool:
        return len(self.choices) > 8


def of_page(form: CallForm, standing: Standing, scope: Scope, now: datetime) -> list[Menu]:
    """At most three queries."""
    offered = {
        "key": _keys(standing),
        "model": _models(scope, now),
        "outcome": [Choice(value, str(label)) for value, label in Outcome.choices],
        "member": _members(standing),
        "team": _teams(standing),
    }
    return [
        _menu(form, name, offered[name])
        for name in offered
        if name in form.fields and (offered[name] or _is_on(form, name))
    ]


def _is_on(form: CallForm, name: str) -> bool:
    return form.given(name) is not None


def _menu(form: CallForm, name: str, choices: Sequence[Choice]) -> Menu:
    """What the address asks for is in the menu, even when it is no longer offered."""
    chosen = list(form.given(name) or ())
    assert isinstance(form.fields[name], AnyOf)
    known = {choice.value for choice in choices}
    missing = [Choice(value, _unnamed(name, value)) for value in chosen if value not in known]
    return Menu(name, str(form.fields[name].label), [*missing, *choices], chosen)


def _unnamed(name: str, value: str) -> str:
    return value if name == "model" else f"#{value}"


def _keys(standing: Standing) -> list[Choice]:
    """On the instance keys are found by their team."""
    if standing.team is None:
        return []
    keys = ApiKey.objects.filter(team=standing.team)
    if not standing.sees_all_calls:
        keys = keys.filter(created_by=standing.user)
    found = keys.order_by("revoked_at", "name", "id").values_list("pk", "name", "revoked_at")[:MOST_CHOICES]
    return [Choice(str(key_id), name, gettext("revoked") if revoked_at else "") for key_id, name, revoked_at in found]


def _models(scope: Scope, now: datetime) -> list[Choice]:
    since = day_of(now, scope.zone) - MODELS_OF_DAYS
    rows = DayModelBucket.objects.filter(zone=scope.zone.key, team_id=scope.team_id, day__gte=since)
    names = sorted(set(rows.order_by().values_list("model", flat=True).distinct()))
    known = colours.of(names)
    return [Choice(name, name, "", known.get(name, "mo")) for name in names if name]


def _members(standing: Standing) -> list[Choice]:
    """Whoever made a key of the team, and may have left since."""
    if standing.team is None or not standing.may(Action.SEE_ALL_CALLS):
        return []
    makers = ApiKey.objects.filter(team=standing.team).exclude(created_by=None).values("created_by")
    people = User.objects.filter(pk__in=makers).order_by("name", "email")[:MOST_CHOICES]
    return [Choice(str(person.pk), str(person), person.email if person.name else "") for person in people]


def _teams(standing: Standing) -> list[Choice]:
    if standing.team is not None:
        return []
    return [
        Choice(str(pk), name) for pk, name in Team.objects.order_by("name").values_list("pk", "name")[:MOST_CHOICES]
    ]
