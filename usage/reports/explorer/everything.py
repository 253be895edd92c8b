"""The same answer with every group in it, for files: grouped by columns, not by the few that are drawn."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from usage.reports.explorer import rows
from usage.reports.explorer.answer import Answer, Asking, Ids, NotAnswered
from usage.reports.explorer.cells import Cell
from usage.reports.explorer.names import KeyRing
from usage.reports.explorer.periods import Periods
from usage.reports.explorer.question import Question, why_not
from usage.reports.span import Scope


def ask_everything(scope: Scope, question: Question, now: datetime, owner_id: int | None = None) -> Answer:
    """As `answer.ask`, without "other". As many rows are read as there are groups times buckets."""
    reason = why_not(question, now.astimezone(scope.zone).date(), scope.is_instance)
    if reason:
        raise NotAnswered(reason)
    return _AskingEverything(scope, replace(question, top=sys.maxsize), now, KeyRing(scope, owner_id)).answer()


class _AskingEverything(Asking):
    most_series = sys.maxsize

    def _spread(self, question: Question, periods: Periods, top: Sequence[Ids]) -> dict[int, dict[int, Cell]]:
        if not periods.starts:
            return defaultdict(dict)
        span = rows.in_span(self.scope, question, periods, self.ring, self.metric.is_percentile)
        return self._cells(span, periods, top, by_columns=True)
