"""Sums over buckets, named once: each report asks the database for some of these."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

from django.db.models import F, Sum
from django.db.models.functions import Coalesce

from usage.models import INPUT_CLASSES, OUTPUT_CLASSES, Outcome


def _total(*columns: str) -> Any:
    """SUM(a + b + ...), 0 for no rows."""
    return Coalesce(Sum(reduce(add, (F(column) for column in columns))), 0)


COST = Coalesce(Sum("cost_nano_usd"), 0)
CALLS = _total(*(f"{outcome}_calls" for outcome in Outcome.values))
FAILED = _total("upstream_error_calls", "interrupted_calls")
REFUSED = Coalesce(Sum("refused_calls"), 0)
TOKENS_IN = _total(*(f"{name}_tokens" for name in INPUT_CLASSES))
TOKENS_OUT = _total(*(f"{name}_tokens" for name in OUTPUT_CLASSES))
TOKENS = _total(*(f"{name}_tokens" for name in (*INPUT_CLASSES, *OUTPUT_CLASSES)))
COUNTED = Coalesce(Sum("counted_cost_nano_usd"), 0)
PARTIAL = Coalesce(Sum("partial_cost_nano_usd"), 0)
UNPRICED = Coalesce(Sum("unpriced_calls"), 0)
