"""Prices as an administrator sets them: a new version from a moment on, never a change to one that was in force.

The rule, which pricing.PriceBook applies: where a version set by hand and a seeded one cover the same moment, the one
set by hand applies. Versions set by hand follow one another without a gap: from the first of them on, no list price is
asked any more, and a newer genai-prices changes nothing. The seeded version before the first one is closed where that
begins; seeded ones that begin later stay as they are and never come into force.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db import transaction

from accounts import audit
from accounts.models import InstanceSettings, User
from usage.models import Price, PriceVersion

# A shipper looks at the prices every few seconds: each knows a version before the first call that it applies to, so a
# call's price follows from the time it began and from nothing else.
KNOWN_AFTER = timedelta(seconds=10)


class InThePast(ValueError):
    """Calls that began then are priced already."""


class StartsAlready(ValueError):
    """Another version set by hand begins at that very moment."""


class InForce(ValueError):
    """The version is, or was, in force, or it was not set by hand."""


class Priced(NamedTuple):
    """What has one price at a time. "" is the standard tier."""

    price_book: str
    model: str
    service_tier: str = ""


# Token class -> (above_input_tokens, usd_per_million), as pricing.PriceList takes it.
Prices = Mapping[str, Iterable[tuple[int, Decimal]]]


@transaction.atomic
def set_price(
    actor: User | None, priced: Priced, prices: Prices, starts_at: datetime | None, note: str, now: datetime
) -> PriceVersion:
    """From `starts_at` on, or as soon as every shipper knows it. Raises InThePast, StartsAlready."""
    if starts_at is not None and starts_at < now:
        raise InThePast
    start = max(starts_at or now, now + KNOWN_AFTER)
    by_hand, seeded = _locked(priced)
    if any(version.valid_from == start for version in by_hand):
        raise StartsAlready
    later = [version.valid_from for version in by_hand if version.valid_from > start]
    # Those before it: of the same kind, or the list price when this is now the first set by hand.
    earlier = [version for version in by_hand if version.valid_from < start] or seeded
    _close(earlier, start)
    version = PriceVersion(
        **priced._asdict(),
        valid_from=start,
        valid_to=min(later, default=None),
        source=PriceVersion.BY_HAND,
        created_by=actor,
        note=note,
    )
    version.save()
    rows = [Price(version=version, token_class=name, above_input_tokens=above, usd_per_million=usd)
            for name, steps in prices.items() for above, usd in steps]  # fmt: skip
    Price.objects.bulk_create(rows)
    details = {_step(row): format(row.usd_per_million.normalize(), "f") for row in rows}
    audit.record(actor, "price.set", None, _name(priced), valid_from=start.isoformat(), note=note, prices=details)
    return version


@transaction.atomic
def withdraw(actor: User, version_id: int, now: datetime) -> None:
    """Remove a version before any shipper could have used it; what came before it holds on. Harmless when sent twice.
    Raises InForce."""
    found = PriceVersion.objects.filter(pk=version_id).values_list("price_book", "model", "service_tier").first()
    if found is None:
        return
    priced = Priced(*found)
    by_hand, seeded = _locked(priced)
    version = next((each for each in by_hand if each.pk == version_id), None)
    if version is None or not can_withdraw(version, now):
        raise InForce
    before = [each for each in by_hand if each.valid_from < version.valid_from] or seeded
    _reopen(before, version, [each.valid_from for each in seeded] if before is seeded else [])
    version.delete()
    audit.record(actor, "price.withdraw", None, _name(priced), valid_from=version.valid_from.isoformat())


def can_withdraw(version: PriceVersion, now: datetime) -> bool:
    return version.is_by_hand and version.valid_from > now + KNOWN_AFTER


def _locked(priced: Priced) -> tuple[list[PriceVersion], list[PriceVersion]]:
    """Set by hand, and seeded; nobody else changes them until the transaction ends."""
    # One row that is always there: two first versions of a model must not pass each other either.
    InstanceSettings.current()
    InstanceSettings.objects.select_for_update().get(pk=1)
    found = list(PriceVersion.objects.filter(**priced._asdict()))
    return [each for each in found if each.is_by_hand], [each for each in found if not each.is_by_hand]


def _close(versions: Iterable[PriceVersion], at: datetime) -> None:
    for version in versions:
        if version.valid_from < at and (version.valid_to is None or version.valid_to > at):
            version.valid_to = at
            version.save(update_fields=["valid_to"])


def _reopen(versions: Iterable[PriceVersion], gone: PriceVersion, seeded_starts: Iterable[datetime]) -> None:
    """What ended where `gone` began ends where it ended, or where the next list price begins."""
    for version in versions:
        if version.valid_to == gone.valid_from:
            ends = [start for start in seeded_starts if start > version.valid_from]
            version.valid_to = min([*ends, *([gone.valid_to] if gone.valid_to else [])], default=None)
            version.save(update_fields=["valid_to"])


def _step(row: Price) -> str:
    return f"{row.token_class} above {row.above_input_tokens}" if row.above_input_tokens else row.token_class


def _name(priced: Priced) -> str:
    return f"{priced.price_book} / {priced.model}" + (f" ({priced.service_tier})" if priced.service_tier else "")
