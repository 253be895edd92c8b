"""The same answer with every group in it, for files: grouped by columns, not by the few that are drawn."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from usage.models import FIRST_BIN
from usage.reports.explorer import rows
from usage.reports.explorer.answer import Answer, Asking, Ids, NotAnswered
from usage.reports.explorer.cells import Cell, sums_of
from usage.reports.explorer.names import COLUMNS, KeyRing
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
        spread: defaultdict[int, dict[int, Cell]] = defaultdict(dict)
        if not periods.starts:
            return spread
        numbers = {ids: number for number, ids in enumerate(top)}
        of_bins = self.metric.is_percentile
        columns = tuple(dict.fromkeys(COLUMNS[dimension] for dimension in self.grouped))
        sums = {"bins": rows.BinSums()} if of_bins else sums_of(self.metric)
        span = rows.in_span(self.scope, question, periods, self.ring, of_bins)
        for time, _number, *values in rows.grouped_by_time(span, periods, (), columns, sums):
            raw, added = dict(zip(columns, values, strict=False)), values[len(columns) :]
            ids = tuple(self.ring.id_of(dimension, raw[COLUMNS[dimension]]) for dimension in self.grouped)
            cell = spread[numbers.get(ids, rows.OTHER)].setdefault(periods.place(time), Cell())
            if of_bins:
                cell.add_bins(added, FIRST_BIN)
            else:
                cell.add(*map(int, added))
        return spread
