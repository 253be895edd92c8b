"""Reading the audit trail: newest first, a page at a time, at a bounded cost however long the trail is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from accounts.models import AuditEntry

A_PAGE = 50
# A filter that finds little reads at most this many entries; then the page offers to search further back.
A_SEARCH = 20_000
A_CHUNK = 1_000


@dataclass(frozen=True)
class Wanted:
    """`team_id` None is the whole instance. Texts are parts of names, whatever their case; "" and None ask for all.

    `families` are first parts of actions: "key" is "key.create", "key.revoke" and so on.
    """

    team_id: int | None = None
    actor: str = ""
    families: tuple[str, ...] = ()
    subject: str = ""
    of_team: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def searches(self) -> bool:
        """Whether entries have to be read that are not shown."""
        return bool(self.actor or self.families or self.subject or self.of_team or self.since or self.until)


@dataclass(frozen=True)
class Page:
    """`older_than`: the next page begins below this id, when there is more. `searched_back_to`: nothing more was found
    back to this moment, where the search stopped."""

    entries: list[AuditEntry]
    older_than: int | None = None
    searched_back_to: datetime | None = None


def page(wanted: Wanted, before: int | None = None, size: int = A_PAGE) -> Page:
    """At most three queries."""
    rows = _in_reach(wanted)
    if before is None and wanted.until:
        before = _first_after(wanted.until)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    end = rows.values_list("pk", "happened_at")[A_SEARCH : A_SEARCH + 1].first() if wanted.searches else None
    if end:
        rows = rows.filter(pk__gt=end[0])
    found = list(rows.filter(_asked(wanted)).select_related("team", "actor")[: size + 1])
    if len(found) > size:
        return Page(found[:size], older_than=found[size - 1].pk)
    if end and (wanted.since is None or end[1] >= wanted.since):
        return Page(found, older_than=end[0] + 1, searched_back_to=end[1])
    return Page(found)


def everything(wanted: Wanted) -> Iterator[list[AuditEntry]]:
    """For export: all of it, newest first, in chunks."""
    before: int | None = None
    while True:
        chunk = page(wanted, before, A_CHUNK)
        if chunk.entries:
            yield chunk.entries
        if chunk.older_than is None:
            return
        before = chunk.older_than


def _first_after(moment: datetime) -> int:
    """The id below which everything before `moment` is, so that a search does not have to go there step by step. Of
    several, because those who write at the same time may commit in another order than their clocks say."""
    last = AuditEntry.objects.filter(happened_at__lt=moment).order_by("-happened_at").values_list("pk", flat=True)
    return max(last[:A_PAGE], default=0) + 1


def _in_reach(wanted: Wanted) -> QuerySet[AuditEntry]:
    """In the order of an index."""
    rows = AuditEntry.objects.order_by("-pk")
    return rows if wanted.team_id is None else rows.filter(team_id=wanted.team_id)


def _asked(wanted: Wanted) -> Q:
    asked = Q()
    if wanted.actor:
        asked &= Q(actor_name__icontains=wanted.actor) | Q(actor__email__icontains=wanted.actor)
    if wanted.subject:
        asked &= Q(subject__icontains=wanted.subject)
    if wanted.of_team:
        asked &= Q(team__name__icontains=wanted.of_team)
    if wanted.since:
        asked &= Q(happened_at__gte=wanted.since)
    if wanted.until:
        asked &= Q(happened_at__lt=wanted.until)
    if wanted.families:
        of_family = Q()
        for family in wanted.families:
            of_family |= Q(action=family) | Q(action__startswith=f"{family}.")
        asked &= of_family
    return asked
