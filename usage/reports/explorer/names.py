"""The values of dimensions: their names, and which rows are theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, OuterRef, Q, QuerySet, Subquery, When
from django.db.models import Value as Constant
from django.utils.translation import gettext

from accounts.models import ApiKey, KeySecret, Team
from usage.models import NO_KEY
from usage.reports.explorer.question import OF_KEYS, Dimension
from usage.reports.span import Scope

# The id of the value that stands for all keys a member may not see by name.
HIDDEN = "others"
NONE = ""
COLUMNS: Mapping[Dimension, str] = {
    Dimension.MODEL: "model",
    Dimension.PROVIDER: "provider",
    Dimension.TEAM: "team_id",
    Dimension.KEY: "key_id",
    Dimension.MEMBER: "key_id",
    Dimension.TAG: "key_id",
}
MOST_DIGITS = 18


@dataclass(frozen=True)
class Value:
    """One value of a dimension. `id` is what a filter takes; "" is none (untagged, no key). `detail` tells two of the
    same name apart. `url_id` is the row's own id where it has a page (keys, teams)."""

    id: str
    name: str
    detail: str = ""
    url_id: int | None = None


@dataclass(frozen=True)
class KnownKey:
    id: int
    team_id: int
    name: str
    redacted: str | None
    creator_id: int | None
    creator_name: str | None
    creator_email: str | None
    tag: str


class KeyRing:
    """A scope's keys, read by the first question that needs them: who created each, and its tag.

    With `owner_id` the other keys have no names: together they are HIDDEN.
    """

    def __init__(self, scope: Scope, owner_id: int | None) -> None:
        self.scope, self.owner_id = scope, owner_id
        self._keys: dict[int, KnownKey] | None = None

    @property
    def keys(self) -> dict[int, KnownKey]:
        if self._keys is None:
            rows = ApiKey.objects.order_by()
            if not self.scope.is_instance:
                rows = rows.filter(team_id=self.scope.team_id)
            found = rows.annotate(shown=Subquery(_shown_secrets())).values_list(
                "id", "team_id", "name", "shown", "created_by_id", "created_by__name", "created_by__email", "tag"
            )
            self._keys = {row[0]: KnownKey(*row) for row in found}
        return self._keys

    def id_of(self, dimension: Dimension, raw: object) -> str:
        """The value's id from a row's column."""
        if dimension not in OF_KEYS:
            return str(raw)
        number = int(str(raw))
        key = self.keys.get(number)
        if self.owner_id is not None and (key is None or key.creator_id != self.owner_id):
            return HIDDEN
        if dimension is Dimension.KEY:
            return str(number) if number != NO_KEY else NONE
        if dimension is Dimension.TAG:
            return key.tag if key else NONE
        return str(key.creator_id) if key and key.creator_id else NONE

    def in_their_teams(self, dimension: Dimension, ids: Iterable[str]) -> Q:
        """True of the rows of these values, and quick to find: tables by key have the team before the key."""
        wanted = set(ids)
        keys = [key for key in self.keys.values() if self.id_of(dimension, key.id) in wanted]
        known = {self.id_of(dimension, key.id) for key in keys}
        # Keys that are gone may be of any team.
        return Q(team_id__in={key.team_id for key in keys}) if known == wanted and not known & {NONE, HIDDEN} else Q()

    def condition(self, dimension: Dimension, ids: Iterable[str]) -> Q:
        """The rows of any of these values; an id that is no id has none."""
        ids = tuple(ids)
        if dimension is Dimension.TEAM:
            return Q(team_id__in=_numbers(ids))
        if dimension not in OF_KEYS:
            return Q(**{f"{COLUMNS[dimension]}__in": ids})
        if self.owner_id is None:
            return self._of_keys(dimension, ids)
        own = [key.id for key in self.keys.values() if key.creator_id == self.owner_id]
        seen = Q(key_id__in=own) & self._of_keys(dimension, ids)
        return seen | ~Q(key_id__in=own) if HIDDEN in ids else seen

    def _of_keys(self, dimension: Dimension, ids: tuple[str, ...]) -> Q:
        if dimension is Dimension.KEY:
            return Q(key_id__in=[*_numbers(ids), *([NO_KEY] if NONE in ids else [])])
        if NONE not in ids:
            return Q(key_id__in=[key.id for key in self.keys.values() if self.id_of(dimension, key.id) in ids])
        # Keys that are gone, and calls without a key, have no member and no tag either.
        return ~Q(key_id__in=[key.id for key in self.keys.values() if self.id_of(dimension, key.id) not in ids])

    def names(self, dimension: Dimension, ids: Iterable[str]) -> dict[str, Value]:
        """By id; a row that is gone is "#12". One query for teams, none for the rest."""
        wanted = set(ids)
        if dimension is Dimension.TEAM:
            teams = dict(Team.objects.filter(pk__in=_numbers(wanted)).values_list("pk", "name"))
            return {id_: Value(id_, teams.get(int(id_), f"#{id_}"), "", int(id_)) for id_ in wanted}
        return {id_: self._name(dimension, id_) for id_ in wanted}

    def _name(self, dimension: Dimension, id_: str) -> Value:
        if id_ == HIDDEN and dimension in OF_KEYS and self.owner_id is not None:
            return Value(HIDDEN, gettext("other keys"))
        if id_ == NONE:
            return Value(NONE, _none(dimension))
        if dimension is Dimension.KEY:
            key = self.keys.get(int(id_))
            return Value(id_, key.name, key.redacted or "", key.id) if key else Value(id_, f"#{id_}")
        if dimension is Dimension.MEMBER:
            return self._member(id_)
        return Value(id_, id_)

    def _member(self, id_: str) -> Value:
        for key in self.keys.values():
            if str(key.creator_id) == id_:
                email = key.creator_email or ""
                return Value(id_, key.creator_name or email, email if key.creator_name else "")
        return Value(id_, f"#{id_}")


def _shown_secrets() -> QuerySet[KeySecret, Any]:
    """As `ApiKey.shown_secret`: the newest that was not withdrawn, or else the newest."""
    withdrawn = Case(When(revoked_at=None, then=Constant(0)), default=Constant(1))
    return KeySecret.objects.filter(key=OuterRef("pk")).order_by(withdrawn, "-pk").values_list("redacted")[:1]


def _none(dimension: Dimension) -> str:
    return {
        Dimension.MODEL: gettext("no model"),
        Dimension.PROVIDER: gettext("not sent on"),
        Dimension.KEY: gettext("no key"),
        Dimension.MEMBER: gettext("nobody"),
        Dimension.TAG: gettext("untagged"),
        Dimension.TEAM: gettext("no team"),
    }[dimension]


def _numbers(ids: Iterable[str]) -> list[int]:
    return [int(id_) for id_ in ids if id_.isascii() and id_.isdigit() and len(id_) <= MOST_DIGITS]
