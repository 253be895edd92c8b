"""The trail of who changed what. Append-only; written in the transaction of the change it describes."""

from __future__ import annotations

from django.db import models

from accounts.models import AuditEntry, Team, User


def record(
    actor: User | None, action: str, team: Team | None, subject: models.Model | str, **details: object
) -> AuditEntry:
    """`action` is a short verb phrase ("key.revoke"); `details` must be JSON and never hold a secret."""
    return AuditEntry.objects.create(
        actor=actor,
        actor_name=str(actor or "system")[:254],
        action=action,
        team=team,
        subject=str(subject)[:254],
        details=details,
    )
