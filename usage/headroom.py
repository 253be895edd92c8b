"""How far a team or key is from its next refusal, as the limiter of this process sees it.

The gateway registers its limiter here at start; pages and REST ask here, so they never import the write path.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol

LimitName = Literal["requests", "tokens", "concurrent"]


class Gauge(NamedTuple):
    """One limit of one scope, now. `limit` null means no limit."""

    scope: Literal["team", "key"]
    limit_name: LimitName
    limit: int | None
    used: int
    # The part of `used` held by calls in flight; comes back if they use less.
    reserved: int
    remaining: int | None
    ms_to_full: int
    # At the pace of the last minute; null when it would never come.
    s_to_refusal: float | None


class Limiter(Protocol):
    def team_gauges(self, team_id: int) -> list[Gauge]: ...
    def key_gauges(self, key_id: int) -> list[Gauge]: ...


_limiter: Limiter | None = None
_up_since: datetime | None = None


def register(limiter: Limiter | None, since: datetime | None = None) -> None:
    """`since`: from when on it has seen every call of this process; now, unless told otherwise."""
    global _limiter, _up_since
    _limiter = limiter
    _up_since = (since or datetime.now(UTC)) if limiter else None


def up_since() -> datetime | None:
    """None when no limiter runs in this process."""
    return _up_since


def of_team(team_id: int) -> list[Gauge]:
    """The tier's limits; empty when no limiter runs in this process: unknown, not zero."""
    return _limiter.team_gauges(team_id) if _limiter else []


def of_key(key_id: int) -> list[Gauge]:
    """The key's own limits; empty when it has none, or no limiter runs in this process."""
    return _limiter.key_gauges(key_id) if _limiter else []
