"""What a key and a secret are at a moment, in words and for a template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext

from accounts import keys
from accounts.models import ApiKey, KeySecret, Tier
from usage.dashboard import formats, gauges

LIVE, ROTATING, EXPIRED, REVOKED = "live", "rotating", "expired", "revoked"
STATES = (LIVE, ROTATING, EXPIRED, REVOKED)


def is_gone(key: ApiKey, now: datetime) -> bool:
    return not key.is_live(now)


def of_key(key: ApiKey, now: datetime, *, is_rotating: bool) -> str:
    if key.revoked_at is not None:
        return REVOKED
    if not key.is_live(now):
        return EXPIRED
    return ROTATING if is_rotating else LIVE


@dataclass(frozen=True)
class Rotation:
    """Both secrets while both are good."""

    new: KeySecret
    old: KeySecret
    now: datetime

    @property
    def passed_width(self) -> str:
        """How much of the overlap is over."""
        assert self.old.expires_at is not None
        whole = (self.old.expires_at - self.new.created_at).total_seconds()
        passed = (self.now - self.new.created_at).total_seconds()
        return f"{100 * min(1.0, max(0.0, passed / whole)):.1f}%" if whole > 0 else "100%"

    @property
    def left(self) -> str:
        """In words: `5 h`."""
        assert self.old.expires_at is not None
        return formats.wait((self.old.expires_at - self.now).total_seconds())

    @property
    def is_old_in_use(self) -> bool:
        """Whether somebody still sent the old secret after the new one was there."""
        return self.old.last_used_at is not None and self.old.last_used_at > self.new.created_at


def rotation_of(key: ApiKey, now: datetime) -> Rotation | None:
    """Reads the key's secrets, which may be prefetched."""
    found = keys.running_rotation(key, now)
    return Rotation(*found, now) if found else None


@dataclass(frozen=True)
class SecretLine:
    """One secret in the list of a key's secrets."""

    secret: KeySecret
    is_live: bool
    state: str


def secret_lines(key: ApiKey, now: datetime) -> list[SecretLine]:
    """The newest first; those that are good above those that are not."""
    lines = [_secret_line(key, secret, now) for secret in key.secrets.all()]
    return sorted(lines, key=lambda line: (not line.is_live, -line.secret.pk))


def _secret_line(key: ApiKey, secret: KeySecret, now: datetime) -> SecretLine:
    ended_at = _ended_at(key, secret, now)
    if ended_at is not None:
        return SecretLine(secret, False, gettext("Ended %(when)s") % {"when": formats.ago(ended_at, now)})
    if secret.expires_at is None:
        return SecretLine(secret, True, gettext("Live"))
    left = formats.wait((secret.expires_at - now).total_seconds())
    return SecretLine(secret, True, gettext("Live, ends in %(time)s") % {"time": left})


def _ended_at(key: ApiKey, secret: KeySecret, now: datetime) -> datetime | None:
    """None while it is good."""
    ends = [at for at in (secret.revoked_at, secret.expires_at, key.revoked_at, key.expires_at) if at and at <= now]
    return min(ends, default=None)


@dataclass(frozen=True)
class Effective:
    """A limit as it applies to a key: its own, or its team's where that is tighter. None is no limit."""

    name: str
    limit: int | None
    own: int | None
    of_team: int | None
    # How much of its own limit is used; None without one.
    bar: gauges.Bar | None = None

    @property
    def is_teams(self) -> bool:
        """Whether the team's own limit is the one that answers."""
        return self.own is None or (self.of_team is not None and self.of_team < self.own)


def effective_limits(key: ApiKey, tier: Tier, bars: Sequence[gauges.Bar] = ()) -> Sequence[Effective]:
    names = {
        "requests_per_minute": gettext("Requests per minute"),
        "tokens_per_minute": gettext("Tokens per minute"),
        "concurrent_requests": gettext("Concurrent requests"),
    }
    found = []
    for column, name in names.items():
        own, of_team = getattr(key, column), getattr(tier, column)
        tightest = min((limit for limit in (own, of_team) if limit is not None), default=None)
        bar = next((bar for bar in bars if bar.name == name), None)
        found.append(Effective(name, tightest, own, of_team, bar))
    return found
