"""What the side bar lists. An entry is shown to whoever may open its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Team
from accounts.policy import Action, Standing
from usage.dashboard import gauges
from usage.dashboard.docs.pages import SLUGS as DOCS


@dataclass(frozen=True)
class Entry:
    """`pages` are the URL names at which this entry is the present one; the first is where it leads."""

    name: Promise | str
    icon: str
    action: Action
    pages: tuple[str, ...]


HEADROOM_ICON = "gauge"
EXPLORER = (
    "explorer",
    "explorer-why",
    "explorer-buckets",
    "explorer-choices",
    "explorer-views",
    "explorer-view-new",
    "explorer-view-edit",
    "explorer-view-delete",
)
KEYS = ("keys", "key", *(f"key-{act}" for act in ("new", "made", "edit", "rotate", "finish", "cancel", "revoke")))
TEAM: tuple[Entry, ...] = (
    Entry(_("Overview"), "layout-dashboard", Action.SEE_USAGE, ("overview",)),
    Entry(_("Explorer"), "chart-bar", Action.SEE_USAGE, EXPLORER),
    Entry(_("Headroom"), HEADROOM_ICON, Action.SEE_USAGE, ("headroom",)),
    Entry(_("Calls"), "list-details", Action.SEE_OWN_CALLS, ("calls", "receipt")),
    Entry(_("Keys"), "key", Action.MANAGE_OWN_KEYS, KEYS),
    Entry(
        _("Team"),
        "users",
        Action.SEE_TEAM,
        ("members", "team-settings", "team-leave", "member-invite", "member-role", "member-remove"),
    ),
    Entry(_("Audit log"), "shield-check", Action.SEE_AUDIT, ("audit",)),
    Entry(_("Playground"), "terminal-2", Action.USE_PLAYGROUND, ("playground", "playground-code")),
    Entry(_("Docs"), "book", Action.SEE_USAGE, ("docs", *(f"docs-{slug}" for slug in DOCS))),
)
INSTANCE: tuple[Entry, ...] = (
    Entry(_("Overview"), "layout-dashboard", Action.MANAGE_PLATFORM, ("instance-overview",)),
    Entry(_("Explorer"), "chart-bar", Action.MANAGE_PLATFORM, tuple(f"instance-{page}" for page in EXPLORER)),
    Entry(_("Headroom"), "gauge", Action.MANAGE_PLATFORM, ("instance-headroom",)),
    Entry(_("Calls"), "list-details", Action.MANAGE_PLATFORM, ("instance-calls",)),
)
# Below the heading "Platform", for administrators, wherever they are.
PLATFORM: tuple[Entry, ...] = (
    Entry(_("Teams"), "users", Action.MANAGE_PLATFORM, ("teams", "team", "team-new", "team-change", "team-archive")),
    Entry(_("Tiers"), "adjustments", Action.MANAGE_PLATFORM, ("tiers", "tier", "tier-new", "tier-delete")),
    Entry(
        _("Providers"), "server", Action.MANAGE_PLATFORM, ("providers", "provider", "provider-new", "provider-delete")
    ),
    Entry(
        _("Models"),
        "cpu",
        Action.MANAGE_PLATFORM,
        ("models", "model", "model-new", "model-change", "route-new", "route-delete"),
    ),
    Entry(_("Price book"), "coin", Action.MANAGE_PLATFORM, ("prices", "price-history", "price-set", "price-withdraw")),
    Entry(
        _("Admin keys"),
        "key",
        Action.MANAGE_PLATFORM,
        ("admin-keys", "admin-key-new", "admin-key-made", "admin-key-revoke"),
    ),
    Entry(_("Audit log"), "shield-check", Action.MANAGE_PLATFORM, ("instance-audit",)),
    Entry(_("Settings"), "settings", Action.MANAGE_PLATFORM, ("settings",)),
)


@dataclass(frozen=True)
class Link:
    name: Promise | str
    icon: str
    url: str
    is_current: bool
    # The share of the nearest limit, when it is near.
    warning: str = ""


def main_links(standing: Standing, here: str) -> list[Link]:
    """The team's pages, or the instance's."""
    if standing.team is None:
        return _links(INSTANCE, standing, here, [])
    links = _links(TEAM, standing, here, [standing.team.pk])
    warning = _nearest_limit(standing.team)
    return [replace(link, warning=warning) if link.icon == HEADROOM_ICON else link for link in links]


def platform_links(standing: Standing, here: str) -> list[Link]:
    return _links(PLATFORM, standing, here, [])


def _nearest_limit(team: Team) -> str:
    """How much of it is used, from where it turns amber on. From memory: no query."""
    shares = [bar.share for bar in gauges.of_team(team) if bar.share is not None]
    nearest = max(shares, default=0.0)
    return f"{nearest:.0%}" if nearest >= gauges.AMBER_FROM else ""


def _links(entries: Sequence[Entry], standing: Standing, here: str, arguments: list[int]) -> list[Link]:
    return [
        Link(entry.name, entry.icon, reverse(entry.pages[0], args=arguments), here in entry.pages)
        for entry in entries
        if standing.may(entry.action)
    ]
