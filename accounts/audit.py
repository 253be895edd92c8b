"""The trail of who changed what. Append-only; written in the transaction of the change it describes."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar

from django.db import models

from accounts.models import AuditEntry, Team, User

# The IP address of the request at hand, set by the middleware; None where there is no request.
came_from: ContextVar[str | None] = ContextVar("came_from", default=None)


def record(
    actor: User | None, action: str, team: Team | None, subject: models.Model | str, **details: object
) -> AuditEntry:
    """`action` is dotted ("key.revoke"); `details` must be JSON and never hold a secret. A change's details are
    [old, new] by column, see `differences`."""
    row = subject if isinstance(subject, models.Model) and isinstance(subject.pk, int) else None
    return AuditEntry.objects.create(
        actor=actor,
        actor_name=str(actor or "system")[:254],
        action=action,
        team=team,
        subject=str(subject)[:254],
        subject_kind=(row._meta.model_name or "") if row else "",
        subject_id=row.pk if row else None,
        details=details,
        ip_address=came_from.get(),
    )


def differences(row: models.Model, wanted: Mapping[str, object]) -> dict[str, list[object]]:
    """The columns that would change, each with [old, new]: the details of a "change"."""
    pairs = {name: [_plain(getattr(row, name)), _plain(value)] for name, value in wanted.items()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _plain(value: object) -> object:
    """As JSON takes it; another row by its name."""
    return value if value is None or isinstance(value, str | int | float | bool | list) else str(value)
