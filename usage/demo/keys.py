"""The demo's keys: what narrows each, its history, and one that is being rotated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from accounts import audit, keys
from accounts.models import ApiKey, AuditEntry, KeySecret, Team, User
from usage.demo.calls import Ids
from usage.demo.cast import Caller

# One secret was replaced this long ago; some program still sends the old one.
ROTATED_AGO, OVERLAP = timedelta(hours=18), timedelta(hours=72)


def add(team: Team, caller: Caller, people: Sequence[User], days: int, now: datetime) -> str:
    """The secret that goes on."""
    founded_at = team.created_at
    key, secret = ApiKey.objects.create_with_secret(
        team=team, name=caller.name, tag=caller.feature, created_by=people[0], created_at=founded_at, **caller.narrowed
    )
    _backdate(audit.record(people[0], "key.create", team, key, **caller.narrowed), founded_at)
    if caller.revoked_after is not None:
        keys.revoke(people[0], key, now - timedelta(days=days * (1 - caller.revoked_after)))
        _backdate_latest(key, key.revoked_at or now)
    if caller.is_rotating:
        secret = keys.rotate(people[0], key, OVERLAP, now - ROTATED_AGO)
        _backdate_latest(key, now - ROTATED_AGO)
    return secret


def ids() -> Mapping[tuple[str, str], Ids]:
    """By names of team and key, with the secrets in the order in which they were made."""
    found: dict[tuple[str, str], Ids] = {}
    for secret in KeySecret.objects.select_related("key__team").order_by("pk"):
        key = secret.key
        before = found.get((key.team.name, key.name))
        made = (secret.created_at, secret.pk)
        found[key.team.name, key.name] = Ids(key.team_id, key.pk, (*before.secrets, made) if before else (made,))
    return found


def _backdate_latest(key: ApiKey, at: datetime) -> None:
    _backdate(keys.trail(key, 1)[0], at)


def _backdate(entry: AuditEntry, at: datetime) -> None:
    entry.happened_at = at
    entry.save(update_fields=["happened_at"])
