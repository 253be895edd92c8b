"""What was done to a key, in sentences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext, pgettext

from accounts.models import AuditEntry
from usage.dashboard import formats


@dataclass(frozen=True)
class Line:
    """`details` are (what, before, after) of a change."""

    at: datetime
    actor: str
    said: str
    details: tuple[tuple[str, str, str], ...] = ()


def of_entries(entries: Iterable[AuditEntry]) -> list[Line]:
    return [_line(entry) for entry in entries]


def _line(entry: AuditEntry) -> Line:
    details = entry.details
    said = {
        "key.create": gettext("created it"),
        "key.change": gettext("changed it"),
        "key.rotate": gettext("began a rotation: the new secret is %(new)s") % {"new": details.get("new", "")},
        "key.finish_rotation": gettext("finished the rotation: %(ended)s ended") % {"ended": details.get("ended", "")},
        "key.cancel_rotation": gettext("cancelled the rotation: %(ended)s ended") % {"ended": details.get("ended", "")},
        "key.revoke": gettext("revoked it"),
    }
    changes = _changes(details) if entry.action == "key.change" else ()
    return Line(entry.happened_at, entry.actor_name, said.get(entry.action, entry.action), changes)


def _changes(details: dict[str, Any]) -> tuple[tuple[str, str, str], ...]:
    names = {
        "name": gettext("Name"),
        "tag": gettext("Tag"),
        "requests_per_minute": gettext("Requests per minute"),
        "tokens_per_minute": gettext("Tokens per minute"),
        "concurrent_requests": gettext("Concurrent requests"),
        "allowed_models": gettext("Models"),
        "ip_ranges": gettext("Networks"),
        "expires_at": gettext("Expires"),
    }
    return tuple(
        (name, _value(column, details[column][0]), _value(column, details[column][1]))
        for column, name in names.items()
        if column in details
    )


def _value(column: str, value: Any) -> str:
    """As the key's own page shows it."""
    if column == "expires_at":
        moment = parse_datetime(value) if value else None
        if moment is None:
            return pgettext("expiry", "never")
        local = timezone.localtime(moment)
        return f"{formats.full_day(local)} {local:%H:%M}"
    if column == "allowed_models":
        return ", ".join(value) or gettext("every model")
    if column == "ip_ranges":
        return ", ".join(value) or gettext("everywhere")
    if value is None:
        return gettext("no limit")
    return formats.count(value) if isinstance(value, int) else str(value) or formats.DASH
