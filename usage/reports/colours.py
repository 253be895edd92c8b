"""Which colour a model has: the same on every page, for good."""

from __future__ import annotations

from django.core.cache import cache
from django.db.models import Min

from usage.models import WHOLE_INSTANCE, DayModelBucket

PALETTE_SIZE = 10
REMEMBER_S = 30


def by_model() -> dict[str, str]:
    """Model -> "m1" ... "m10", in the order in which the instance first used them: a later model never moves an earlier one."""
    known: dict[str, str] | None = cache.get("model colours")
    if known is None:
        rows = DayModelBucket.objects.filter(zone="UTC", team_id=WHOLE_INSTANCE)
        seen = rows.order_by().values("model").annotate(first_day=Min("day")).order_by("first_day", "model")
        known = {row["model"]: f"m{place % PALETTE_SIZE + 1}" for place, row in enumerate(seen)}
        cache.set("model colours", known, REMEMBER_S)
    return known
