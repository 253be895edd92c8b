"""The audit trail in words: a sentence for each action, and what a change changed, in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model as Row
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, AuditEntry, Team, Tier
from usage.dashboard import formats
from usage.dashboard.administration.sentences import FIELDS, SENTENCES, VALUES
from usage.models import Model, Provider

# In these, a list of two is [old, new].
CHANGES = ("change", "move")
ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT")
LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")
NONE_OF: dict[str, Promise] = {
    **dict.fromkeys(LIMITS, _("no limit")),
    "expires_at": _("never"),
    "allowed_models": _("all"),
    "ip_ranges": _("everywhere"),
}
# Which rows have a page, for whoever may open it: of a team's admins, keys only.
PAGES_OF_TEAM: dict[str, type[Row]] = {"apikey": ApiKey}
PAGES: dict[str, type[Row]] = {"apikey": ApiKey, "team": Team, "tier": Tier, "provider": Provider, "model": Model}


@dataclass(frozen=True)
class Detail:
    """`old` is None where nothing was before: a fact, not a change."""

    label: str
    old: str | None
    new: str


@dataclass(frozen=True)
class Told:
    entry: AuditEntry
    sentence: SafeString
    details: list[Detail]


def tell(entries: Sequence[AuditEntry], of_team: Team | None = None) -> list[Told]:
    """One query for each kind of row among the subjects, to know which still exist."""
    there = _existing(entries, PAGES_OF_TEAM if of_team else PAGES)
    return [Told(entry, _sentence(entry, _address(entry, there)), details_of(entry)) for entry in entries]


def plain_sentence(entry: AuditEntry) -> str:
    """For export."""
    said = SENTENCES.get(entry.action)
    return str(said).replace("{subject}", entry.subject) if said else f"{entry.action} {entry.subject}".strip()


def details_of(entry: AuditEntry) -> list[Detail]:
    # A key's own id, beside its name, says nothing to a reader.
    details = {name: value for name, value in entry.details.items() if not str(value).startswith("key_")}
    if {"old", "new"} <= details.keys():
        label = {"member.role": "role", "team.time_zone": "time_zone"}.get(entry.action, "")
        details = {label: [details.pop("old"), details.pop("new")], **details}
        return [_detail(name, value, is_change=name == label) for name, value in details.items()]
    is_change = entry.action.rpartition(".")[2] in CHANGES
    return [_detail(name, value, is_change=is_change) for name, value in details.items() if is_change or _says(value)]


def _detail(name: str, value: Any, *, is_change: bool) -> Detail:
    label = str(FIELDS.get(name, name.replace("_", " ")))
    if is_change and isinstance(value, list) and len(value) == 2:
        return Detail(label, _value(name, value[0]), _value(name, value[1]))
    return Detail(label, None, _value(name, value))


def _says(value: Any) -> bool:
    """A new row's details need not list what was left empty."""
    return value is not None and value not in ("", [], {})


def _value(name: str, value: Any) -> str:
    if value is None or value in ("", []):
        return str(NONE_OF.get(name, _("none")))
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, int):
        return formats.count(value)
    if isinstance(value, list):
        return ", ".join(_value(name, each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{part} {_value('', each)}" for part, each in value.items())
    if said := VALUES.get(name, {}).get(value):
        return str(said)
    return _moment(str(value)) or str(value)


def _moment(value: str) -> str:
    """ "" for what is no time. In the zone of the page."""
    if not ISO_TIME.match(value):
        return ""
    try:
        moment = parse_datetime(value)
    except ValueError:
        return ""
    if moment is None or timezone.is_naive(moment):
        return ""
    local = timezone.localtime(moment)
    return f"{formats.full_day(local)} {local:%H:%M}"


def _sentence(entry: AuditEntry, address: str) -> SafeString:
    subject = format_html('<bdi class="name" title="{}">{}</bdi>', entry.subject, entry.subject)
    if address:
        subject = format_html('<a href="{}">{}</a>', address, subject)
    said = SENTENCES.get(entry.action)
    if said is None:
        return format_html('<code class="mono">{}</code> {}', entry.action, subject)
    return format_html(str(said), subject=subject)


def _existing(entries: Iterable[AuditEntry], kinds: dict[str, type[Row]]) -> set[tuple[str, int]]:
    wanted: dict[str, set[int]] = {}
    for entry in entries:
        if entry.subject_kind in kinds and entry.subject_id is not None:
            wanted.setdefault(entry.subject_kind, set()).add(entry.subject_id)
    return {
        (kind, pk)
        for kind, ids in sorted(wanted.items())
        for pk in kinds[kind]._default_manager.filter(pk__in=ids).values_list("pk", flat=True)
    }


def _address(entry: AuditEntry, there: set[tuple[str, int]]) -> str:
    """Where the subject is shown; "" when it is no more, or has no page."""
    if entry.subject_id is None or (entry.subject_kind, entry.subject_id) not in there:
        return ""
    if entry.subject_kind == "apikey":
        return reverse("key", args=[entry.team_id, entry.subject_id]) if entry.team_id else ""
    return reverse(entry.subject_kind, args=[entry.subject_id])
