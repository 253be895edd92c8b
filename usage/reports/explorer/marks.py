"""What happened on the way: price, limit, key and member changes, to be marked on the time axis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiKey, AuditEntry, Team
from usage import pricing
from usage.models import DayModelBucket, Price, PriceVersion
from usage.reports.span import Scope, day_number, midnight

MOST_MARKS = 200
LIMITS = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")
OF_KEYS = ("key.create", "key.rotate", "key.revoke")
OF_MEMBERS = ("member.join", "member.remove", "member.leave")
OF_LIMITS = ("key.change", "team.change")
TEXTS = {
    "key.create": _("key: %(name)s made"),
    "key.rotate": _("key: %(name)s rotated"),
    "key.revoke": _("key: %(name)s revoked"),
    "member.join": _("member: %(name)s joined"),
    "member.remove": _("member: %(name)s removed"),
    "member.leave": _("member: %(name)s left"),
}
A_MOMENT = timedelta(microseconds=1)


class MarkKind(StrEnum):
    PRICE = "price"
    LIMIT = "limit"
    KEY = "key"
    MEMBER = "member"


@dataclass(frozen=True)
class Mark:
    """`text` is in the reader's language; `key_id` where a key was changed."""

    at: datetime
    kind: MarkKind
    text: str
    url: str | None = None
    key_id: int | None = None


def marks(scope: Scope, first: date, last: date, owner_id: int | None = None) -> Sequence[Mark]:
    """The newest 200 between two days, both counted in, oldest first. With `owner_id` only that user's own keys are
    named, and with 0 nobody. Four queries."""
    start, end = midnight(day_number(first), scope.zone), midnight(day_number(last) + 1, scope.zone)
    found = [*_prices(scope, first, last, start, end), *_changes(scope, start, end, owner_id)]
    return sorted(found, key=lambda mark: mark.at)[-MOST_MARKS:]


# Prices -------------------------------------------------------------------------------------------------------------


def _prices(scope: Scope, first: date, last: date, start: datetime, end: datetime) -> list[Mark]:
    """Of models that were used in the span. A model's first price is no change."""
    used = DayModelBucket.objects.filter(
        zone=scope.zone.key, team_id=scope.team_id, day__gte=day_number(first), day__lte=day_number(last)
    )
    # A query of its own: as part of the next one, databases look through all days for every price.
    models = list(used.order_by().values_list("model", flat=True).distinct())
    changed = PriceVersion.objects.filter(valid_from__gte=start, valid_from__lt=end, model__in=models)
    versions = list(
        PriceVersion.objects.filter(model__in=changed.values("model")).order_by("-valid_from", "-id")[: 4 * MOST_MARKS]
    )
    book = _book(versions)
    found = []
    for version in versions:
        if start <= version.valid_from < end:
            names = (version.price_book, version.model, version.service_tier)
            before, after = book.find(*names, version.valid_from - A_MOMENT), book.find(*names, version.valid_from)
            # An older version that another one overrides changes nothing.
            if before and after and after[0] == version.pk:
                text = _price_text(version, _change(before[1], after[1]))
                found.append(Mark(version.valid_from, MarkKind.PRICE, text))
    return found[:MOST_MARKS]


def _book(versions: Iterable[PriceVersion]) -> pricing.PriceBook:
    ids = [version.pk for version in versions]
    prices: defaultdict[int, defaultdict[str, list[tuple[int, Decimal]]]] = defaultdict(lambda: defaultdict(list))
    for price in Price.objects.filter(version_id__in=ids):
        prices[price.version_id][price.token_class].append((price.above_input_tokens, price.usd_per_million))
    return pricing.PriceBook(
        pricing.Version(
            version.pk,
            version.price_book,
            version.model,
            version.service_tier,
            version.valid_from,
            version.valid_to,
            pricing.PriceList(prices[version.pk]),
        )
        for version in versions
    )


def _change(before: pricing.PriceList, after: pricing.PriceList) -> Decimal | None:
    """By how much, where all classes of both changed alike: -0.1 is ten percent less."""
    ratios = set()
    for name in (*before.prices.keys(), *after.prices.keys()):
        old, new = before.usd_per_million(name, 0), after.usd_per_million(name, 0)
        ratios.add(round(new / old, 4) if old and new is not None else None)
    only = ratios.pop() if len(ratios) == 1 else None
    return None if only is None else only - 1


def _price_text(version: PriceVersion, change: Decimal | None) -> str:
    model = f"{version.model} ({version.service_tier})" if version.service_tier else version.model
    if not change:
        return gettext("new prices: %(model)s") % {"model": model}
    sign, percent = "−" if change < 0 else "+", format((abs(change) * 100).normalize(), "f")
    return gettext("price: %(model)s %(change)s") % {"model": model, "change": f"{sign}{percent} %"}


# What people changed ------------------------------------------------------------------------------------------------


def _changes(scope: Scope, start: datetime, end: datetime, owner_id: int | None) -> list[Mark]:
    entries = AuditEntry.objects.filter(happened_at__gte=start, happened_at__lt=end).filter(_seen(scope, owner_id))
    found: list[Mark] = []
    columns = ("happened_at", "action", "subject", "subject_kind", "subject_id", "details")
    newest = entries.order_by("-happened_at").values_list(*columns, "team__name", named=True)[: 2 * MOST_MARKS]
    # Not all are told: so twice as many, but only until there are enough.
    for entry in newest.iterator(chunk_size=MOST_MARKS):
        if len(found) == MOST_MARKS:
            break
        if told := _told(entry):
            kind, text = told
            if scope.is_instance and entry.team__name:
                text = gettext("%(team)s: %(change)s") % {"team": entry.team__name, "change": text}
            key_id = entry.subject_id if entry.subject_kind == "apikey" else None
            found.append(Mark(entry.happened_at, kind, text, key_id=key_id))
    return found


def _seen(scope: Scope, owner_id: int | None) -> Q:
    """The limits of a team are its tier's too, which belongs to no team."""
    if scope.is_instance:
        return Q(action__in=(*OF_KEYS, *OF_LIMITS, "tier.change"))
    tier = Team.objects.filter(pk=scope.team_id).values("tier_id")
    limits = Q(team_id=scope.team_id, action="team.change") | Q(
        action="tier.change", subject_kind="tier", subject_id__in=tier
    )
    if owner_id == 0:
        return limits
    keys = Q(team_id=scope.team_id, action__in=(*OF_KEYS, "key.change"))
    if owner_id is not None:
        own = ApiKey.objects.filter(team_id=scope.team_id, created_by=owner_id).values("pk")
        keys &= Q(subject_kind="apikey", subject_id__in=own)
    return limits | keys | Q(team_id=scope.team_id, action__in=OF_MEMBERS)


def _told(entry: Any) -> tuple[MarkKind, str] | None:
    """None for a change that no chart shows: a name, a tag. Of an AuditEntry's columns."""
    subject = {"name": _bare(entry)}
    if entry.action in TEXTS:
        kind = MarkKind.KEY if entry.action in OF_KEYS else MarkKind.MEMBER
        return kind, str(TEXTS[entry.action]) % subject
    if entry.action == "team.change":
        tiers = entry.details.get("tier")
        return (MarkKind.LIMIT, gettext("limit: %(old)s → %(new)s") % _pair(tiers)) if _is_pair(tiers) else None
    if any(name in entry.details for name in LIMITS):
        return MarkKind.LIMIT, gettext("limit: %(name)s") % subject
    return None


def _bare(entry: Any) -> str:
    """A key's name without the end of its secret, which the trail keeps beside it."""
    name, _, rest = entry.subject.rpartition(" (")
    return name if entry.subject_kind == "apikey" and name and rest.endswith(")") else str(entry.subject)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2


def _pair(value: list[object]) -> dict[str, object]:
    return {"old": value[0], "new": value[1]}
