"""Headroom as bars and words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext

from accounts.models import ApiKey, Team
from usage import headroom
from usage.dashboard import formats

AMBER_FROM, RED_FROM = 0.75, 0.90


@dataclass(frozen=True)
class Bar:
    """`limit` None is no limit; `is_known` False says that no limiter runs in this process."""

    name: str
    limit: int | None
    used: int = 0
    reserved: int = 0
    remaining: int | None = None
    s_to_refusal: float | None = None
    is_known: bool = True
    ms_to_full: int = 0

    @property
    def taken(self) -> int:
        """Used and reserved."""
        return self.used + self.reserved

    @property
    def share(self) -> float | None:
        """Used and reserved, of the limit."""
        return min(1.0, (self.used + self.reserved) / self.limit) if self.limit else None

    @property
    def used_width(self) -> str:
        return f"{100 * min(1.0, self.used / self.limit):.2f}%" if self.limit else "0%"

    @property
    def reserved_width(self) -> str:
        return f"{100 * (self.share or 0) - float(self.used_width[:-1]):.2f}%"

    @property
    def tone(self) -> str:
        share = self.share or 0
        return "red" if share >= RED_FROM else "amber" if share >= AMBER_FROM else "calm"

    @property
    def percent(self) -> str:
        return formats.percent(self.share).replace(".0%", "%") if self.share is not None else ""

    @property
    def recovery(self) -> str:
        """The time until all of the limit is free again if nothing else comes, in words; empty when it is."""
        if self.limit is None or not self.ms_to_full:
            return ""
        return gettext("all free again in %(time)s") % {"time": formats.wait(self.ms_to_full / 1000)}

    @property
    def outlook(self) -> str:
        """The time to the next refusal, in words."""
        if self.limit is None:
            return gettext("Never refused: this tier sets no limit")
        if self.remaining is not None and self.remaining <= 0:
            return gettext("Refused now")
        if self.s_to_refusal is None:
            return gettext("Not refused at this pace")
        return gettext("Refused in about %(time)s at this pace") % {"time": formats.wait(self.s_to_refusal)}


def of_team(team: Team | None) -> list[Bar]:
    """The three limits of the team's tier. Without a limiter here the limits are known and the rest is not."""
    if team is None:
        return []
    limits: dict[headroom.LimitName, int | None] = {
        "requests": team.tier.requests_per_minute,
        "tokens": team.tier.tokens_per_minute,
        "concurrent": team.tier.concurrent_requests,
    }
    found = {gauge.limit_name: gauge for gauge in headroom.of_team(team.pk)}
    return [_bar(text, limits[name], found.get(name)) for name, text in names().items()]


def names() -> dict[headroom.LimitName, str]:
    """The three limits, in the order in which pages show them."""
    return {
        "requests": gettext("Requests per minute"),
        "tokens": gettext("Tokens per minute"),
        "concurrent": gettext("Concurrent requests"),
    }


def of_key(key: ApiKey) -> list[Bar]:
    """The key's own limits; empty when it has none."""
    limits: dict[headroom.LimitName, int | None] = {
        "requests": key.requests_per_minute,
        "tokens": key.tokens_per_minute,
        "concurrent": key.concurrent_requests,
    }
    found = {gauge.limit_name: gauge for gauge in headroom.of_key(key.pk)}
    own = [(text, name) for name, text in names().items() if limits[name] is not None]
    return [_bar(text, limits[name], found.get(name)) for text, name in own]


def refusal_text(refusal: dict[str, Any]) -> str:
    """A refusal, as the gateway keeps it on the event, in a sentence."""
    units = {
        "requests": gettext("requests a minute"),
        "tokens": gettext("tokens a minute"),
        "concurrent": gettext("concurrent requests"),
    }
    told = {
        "asked": formats.count(refusal.get("asked")),
        "left": formats.count(refusal.get("left")),
        "limit": formats.count(refusal.get("limit")),
        "unit": units.get(refusal.get("limit_name", ""), ""),
    }
    if refusal.get("scope") == "key":
        text = gettext("This call asked for %(asked)s. The key had %(left)s left of %(limit)s %(unit)s.") % told
    else:
        text = gettext("This call asked for %(asked)s. The team had %(left)s left of %(limit)s %(unit)s.") % told
    if refusal.get("never_fits"):
        return f"{text} {gettext('It is larger than the limit and would never have fitted.')}"
    if refusal.get("retry_after_ms") is None:
        return text
    later = formats.duration(refusal["retry_after_ms"] * 1000)
    return f"{text} {gettext('It would have fitted %(span)s later.') % {'span': later}}"


def _bar(name: str, limit: int | None, gauge: headroom.Gauge | None) -> Bar:
    if gauge is None:
        return Bar(name, limit, is_known=False)
    return Bar(
        name,
        gauge.limit,
        gauge.used - gauge.reserved,
        gauge.reserved,
        gauge.remaining,
        gauge.s_to_refusal,
        ms_to_full=gauge.ms_to_full,
    )
