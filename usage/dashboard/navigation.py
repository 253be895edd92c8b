"""What the side bar lists. An entry is shown to whoever may open its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.policy import Action, Standing


@dataclass(frozen=True)
class Entry:
    """`pages` are the URL names at which this entry is the present one; the first is where it leads."""

    name: Promise | str
    icon: str
    action: Action
    pages: tuple[str, ...]


TEAM: tuple[Entry, ...] = (
    Entry(_("Overview"), "layout-dashboard", Action.SEE_USAGE, ("overview",)),
    Entry(_("Calls"), "list-details", Action.SEE_OWN_CALLS, ("calls", "receipt")),
    Entry(_("Keys"), "key", Action.MANAGE_OWN_KEYS, ("keys", "key-new", "key-made", "key-revoke")),
)
INSTANCE: tuple[Entry, ...] = (
    Entry(_("Overview"), "layout-dashboard", Action.MANAGE_PLATFORM, ("instance-overview",)),
    Entry(_("Calls"), "list-details", Action.MANAGE_PLATFORM, ("instance-calls",)),
)
# Below the heading "Platform", for administrators, wherever they are.
PLATFORM: tuple[Entry, ...] = (
    Entry(_("Teams"), "users", Action.MANAGE_PLATFORM, ("teams", "team", "team-new")),
    Entry(_("Tiers"), "adjustments", Action.MANAGE_PLATFORM, ("tiers", "tier", "tier-new")),
)


@dataclass(frozen=True)
class Link:
    name: Promise | str
    icon: str
    url: str
    is_current: bool


def main_links(standing: Standing, here: str) -> list[Link]:
    """The team's pages, or the instance's."""
    if standing.team is None:
        return _links(INSTANCE, standing, here, [])
    return _links(TEAM, standing, here, [standing.team.pk])


def platform_links(standing: Standing, here: str) -> list[Link]:
    return _links(PLATFORM, standing, here, [])


def _links(entries: Sequence[Entry], standing: Standing, here: str, arguments: list[int]) -> list[Link]:
    return [
        Link(entry.name, entry.icon, reverse(entry.pages[0], args=arguments), here in entry.pages)
        for entry in entries
        if standing.may(entry.action)
    ]
