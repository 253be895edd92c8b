"""Which colour a model has: the same on every page, for good."""

from __future__ import annotations

from collections.abc import Iterable

from django.core.cache import cache
from django.db.models import Min

from usage.models import WHOLE_INSTANCE, DayModelBucket

PALETTE_SIZE = 10
REMEMBER_S = 300
REMEMBERED_AS = "model-colours"


def of(models: Iterable[str]) -> dict[str, str]:
    """Model -> "m1" ... "m10", in the order in which the instance first used them: a later one never moves an earlier.

    Remembered for a while, but not when one of `models` is new: its first bar has its colour at once.
    """
    known: dict[str, str] | None = cache.get(REMEMBERED_AS)
    if known is None or any(model not in known for model in models):
        rows = DayModelBucket.objects.filter(zone="UTC", team_id=WHOLE_INSTANCE)
        seen = rows.order_by().values("model").annotate(first_day=Min("day")).order_by("first_day", "model")
        known = {row["model"]: f"m{place % PALETTE_SIZE + 1}" for place, row in enumerate(seen)}
        cache.set(REMEMBERED_AS, known, REMEMBER_S)
    return known
