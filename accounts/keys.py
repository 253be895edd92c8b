"""What is done to a key: the rows and their line in the audit trail, together or not at all.

A key is rotated by giving it a second secret: both are good until the overlap ends, or somebody finishes it sooner.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from accounts import audit, secrets
from accounts.models import ApiKey, AuditEntry, KeySecret, Team, User

USUAL_OVERLAP = timedelta(hours=24)
LONGEST_OVERLAP = timedelta(days=7)
LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")
# What people may set. Never the team, the creator, or what the ledger notes.
CHANGEABLE = frozenset({"name", "tag", "allowed_models", "ip_ranges", "expires_at", *LIMITS})


class NotLive(Exception):
    """A key that was revoked or has expired has no secret to replace."""


class RotationRuns(Exception):
    """The key has two secrets already: that rotation has to be finished or cancelled first."""


class BadOverlap(ValueError):
    """Not longer than nothing, or longer than LONGEST_OVERLAP."""


@transaction.atomic
def create(actor: User, team: Team, name: str, **narrowing: Any) -> tuple[ApiKey, str]:
    """The key and its secret, which is not kept. `narrowing` is of CHANGEABLE."""
    if unknown := narrowing.keys() - CHANGEABLE:
        raise TypeError(f"not to be given: {unknown}")
    key, secret = ApiKey.objects.create_with_secret(team=team, name=name, created_by=actor, **narrowing)
    given = {column: _said(value) for column, value in narrowing.items() if value not in (None, [], "")}
    audit.record(actor, "key.create", team, key, **given)
    return key, secret


@transaction.atomic
def change(actor: User, key: ApiKey, **wanted: Any) -> dict[str, list[object]]:
    """What changed, of CHANGEABLE, as [old, new]; what stays as it was is not recorded. Raises NotLive when revoked."""
    if unknown := wanted.keys() - CHANGEABLE:
        raise TypeError(f"not to be changed: {unknown}")
    present = _locked(key)
    if present.revoked_at is not None:
        raise NotLive
    changes = audit.differences(present, wanted)
    if changes:
        for column in changes:
            setattr(present, column, wanted[column])
        present.save(update_fields=list(changes))
        audit.record(actor, "key.change", present.team, present, **changes)
    return changes


@transaction.atomic
def rotate(actor: User, key: ApiKey, overlap: timedelta, now: datetime) -> str:
    """A new secret, which is not kept; the present one ends after `overlap`.

    Raises BadOverlap, NotLive, RotationRuns.
    """
    if not timedelta(0) < overlap <= LONGEST_OVERLAP:
        raise BadOverlap(overlap)
    present = _locked(key)
    if not present.is_live(now):
        raise NotLive
    lasting, ending = _lasting(present), _ending(present)
    if ending is not None and ending.is_live(now):
        raise RotationRuns
    if ending is not None:
        # It ended by itself: from now on it counts as withdrawn, which makes room for the next that ends.
        _end(ending, ending.expires_at or now)
    if lasting is not None:
        lasting.expires_at = now + overlap
        lasting.save(update_fields=["expires_at"])
    secret = secrets.make(secrets.KEY_PREFIX)
    new = present.add_secret(secret, actor, now)
    key.shown_secret = new
    ends = {"old": str(lasting), "old_ends_at": (now + overlap).isoformat(timespec="seconds")} if lasting else {}
    audit.record(actor, "key.rotate", present.team, present, new=str(new), **ends)
    return secret


@transaction.atomic
def finish(actor: User, key: ApiKey, secret_id: int, now: datetime) -> bool:
    """The old secret, `secret_id`, ends now. False when that rotation is over already: then nothing happens."""
    present = _locked(key)
    ending = _running(present, secret_id, now)
    if ending is None:
        return False
    _end(ending, now)
    audit.record(actor, "key.finish_rotation", present.team, present, ended=str(ending))
    return True


@transaction.atomic
def cancel(actor: User, key: ApiKey, secret_id: int, now: datetime) -> bool:
    """The new secret ends now, the old one, `secret_id`, stays without an end. False when that rotation is over."""
    present = _locked(key)
    ending, lasting = _running(present, secret_id, now), _lasting(present)
    if ending is None:
        return False
    # In this order: there is never room for two secrets without an end.
    if lasting is not None:
        _end(lasting, now)
    ending.expires_at = None
    ending.save(update_fields=["expires_at"])
    audit.record(actor, "key.cancel_rotation", present.team, present, ended=str(lasting), kept=str(ending))
    return True


@transaction.atomic
def revoke(actor: User, key: ApiKey, now: datetime) -> None:
    """With all its secrets. Harmless when sent twice: the first time stands, and only it is recorded."""
    present = _locked(key)
    if present.revoked_at is None:
        present.revoke(now)
        audit.record(actor, "key.revoke", present.team, present)
    key.revoked_at = present.revoked_at


def trail(key: ApiKey, most: int) -> list[AuditEntry]:
    """What was done to a key, the newest first. One query."""
    return list(AuditEntry.objects.filter(subject_kind="apikey", subject_id=key.pk).order_by("-id")[:most])


def running_rotation(key: ApiKey, now: datetime) -> tuple[KeySecret, KeySecret] | None:
    """The new and the old secret while both are good. Reads `secrets`, which may be prefetched."""
    if not key.is_live(now):
        return None
    found = [secret for secret in key.secrets.all() if secret.is_live(now)]
    lasting = next((secret for secret in found if secret.expires_at is None), None)
    ending = next((secret for secret in found if secret.expires_at is not None), None)
    return (lasting, ending) if lasting and ending else None


def _locked(key: ApiKey) -> ApiKey:
    """The row as it is now, which nobody else changes until this transaction ends."""
    return ApiKey.objects.select_for_update(of=("self",)).select_related("team").get(pk=key.pk)


def _lasting(key: ApiKey) -> KeySecret | None:
    return key.secrets.filter(revoked_at=None, expires_at=None).first()


def _ending(key: ApiKey) -> KeySecret | None:
    return key.secrets.filter(revoked_at=None, expires_at__isnull=False).first()


def _running(key: ApiKey, secret_id: int, now: datetime) -> KeySecret | None:
    ending = _ending(key)
    if ending is None or ending.pk != secret_id or not ending.is_live(now) or not key.is_live(now):
        return None
    return ending


def _end(secret: KeySecret, at: datetime) -> None:
    secret.revoked_at = at
    secret.save(update_fields=["revoked_at"])


def _said(value: Any) -> Any:
    """As JSON takes it."""
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else value
