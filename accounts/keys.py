"""Making and revoking a key: the row and its line in the audit trail, together or not at all."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from accounts import audit
from accounts.models import ApiKey, Team, User


@transaction.atomic
def create(actor: User, team: Team, name: str, **limits: Any) -> tuple[ApiKey, str]:
    """The key and its secret, which is not kept. `limits` are the key's own, by column."""
    key, secret = ApiKey.objects.create_with_secret(team=team, name=name, created_by=actor, **limits)
    audit.record(actor, "key.create", team, key, **limits)
    return key, secret


@transaction.atomic
def revoke(actor: User, key: ApiKey, now: datetime) -> None:
    """Harmless when sent twice: the first time stands, and only it is recorded."""
    if key.revoked_at is None:
        key.revoke(now)
        audit.record(actor, "key.revoke", key.team, key)
