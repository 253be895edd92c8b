"""Making and revoking a key of the REST API: the row and its line in the audit trail, together or not at all."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from accounts import audit
from accounts.models import AdminKey, User


@transaction.atomic
def create(actor: User, name: str, expires_at: datetime | None) -> tuple[AdminKey, str]:
    """The key and its secret, which is not kept."""
    key, secret = AdminKey.objects.create_with_secret(name=name, created_by=actor, expires_at=expires_at)
    audit.record(actor, "admin_key.create", None, key, expires_at=expires_at.isoformat() if expires_at else None)
    return key, secret


@transaction.atomic
def revoke(actor: User, key: AdminKey, now: datetime) -> None:
    """Works at the next request. Claimed by a conditional update: sent twice, the first time stands."""
    if AdminKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now):
        audit.record(actor, "admin_key.revoke", None, key)
