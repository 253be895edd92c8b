"""How much of the cost is an estimate: tokens that we counted, or that broke off with the call."""

from __future__ import annotations

from datetime import datetime

from usage.reports import measures
from usage.reports.explorer import rows
from usage.reports.explorer.names import KeyRing
from usage.reports.explorer.periods import periods_of
from usage.reports.explorer.question import Question
from usage.reports.span import Scope


def estimated(scope: Scope, question: Question, now: datetime, owner_id: int | None = None) -> list[int]:
    """Nano-USD a bucket, at the places of the answer's buckets. One query, two where keys are filtered by."""
    periods = periods_of(question, scope.zone, now)
    found = [0] * len(periods.starts)
    if not found:
        return found
    span = rows.in_span(scope, question, periods, KeyRing(scope, owner_id))
    sums = {"sum_estimated": measures.COUNTED + measures.PARTIAL}
    for time, _number, nano_usd in rows.grouped_by_time(span, periods, (), (), sums):
        found[periods.place(time)] += int(nano_usd)
    return found
