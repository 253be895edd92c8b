"""A question's answer: ranked series over time, their totals and the same a span before. From buckets, never from
events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models import Value as Constant

from usage.models import FIRST_BIN, LAST_BIN, MonthKeyBucket
from usage.reports import measures
from usage.reports.explorer import rows
from usage.reports.explorer.cells import Cell, Number, cut_to_used, merged, sums_of
from usage.reports.explorer.names import COLUMNS, HIDDEN, KeyRing, Value
from usage.reports.explorer.periods import Periods, aligned, periods_of
from usage.reports.explorer.question import (
    HOURS_REACH_BACK_DAYS,
    MOST_SERIES,
    OF_KEYS,
    Dimension,
    Grain,
    Question,
    WhyNot,
    why_not,
)
from usage.reports.span import Scope, day_number, midnight, month_number, month_shifted, slot_of

__all__ = ["HIDDEN", "Answer", "NotAnswered", "Number", "Series", "Value", "ask", "choices"]

SEEN_DAYS = 400
MOST_CHOICES = {Dimension.KEY: 500, Dimension.MODEL: 80}
USUAL_CHOICES = 200
# In a spread, beside the numbers of series and rows.OTHER.
WHOLE = -2
# The values of the dimensions grouped by: none, one, or group and subgroup.
Ids = tuple[str, ...]


class NotAnswered(Exception):
    """The question has no answer; `reason` says why."""

    def __init__(self, reason: WhyNot) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Series:
    """One group, or one group and subgroup. In `values` None is a bucket without calls: no data, not zero."""

    group: Value | None
    subgroup: Value | None
    values: list[Number | None]
    total: Number | None = None
    # Of the whole; only where the metric adds up.
    share: float | None = None
    before_values: list[Number | None] = field(default_factory=list)
    before_total: Number | None = None
    is_other: bool = False
    # What the metric was computed over: requests, measured calls, priced calls.
    calls: int = 0


@dataclass
class Answer:
    """`starts` are local and aware, one a bucket; buckets that have not begun are left out.

    `before_values` stand at the same places: weekday by weekday, hour by hour, month by month.
    """

    question: Question
    starts: list[datetime]
    # The last bucket is not over.
    is_running: bool
    # The largest first; for metrics that do not add up, those with the most calls.
    series: list[Series]
    total: Number | None
    before_total: Number | None
    # Of the span before, up to the same moment, when the present span still runs and the past is known so finely.
    before_so_far: Number | None
    values: list[Number | None]
    before_values: list[Number | None]
    # How many groups there are, with those in "other".
    rows_total_count: int
    # Calls whose cost is unknown; they are in no cost above.
    unpriced_calls: int
    # "days", "hours", "months": what was summed.
    looked_at: str
    # Of the metric's basis, over everything.
    calls: int = 0
    # Nano-USD of the cost in `values` that are estimates.
    estimates: list[int] = field(default_factory=list)


def ask(scope: Scope, question: Question, now: datetime, owner_id: int | None = None) -> Answer:
    """With `owner_id`, only the keys that user created have names; 0 owns none. Raises NotAnswered.

    At most nine queries, however many keys and models there are.
    """
    reason = why_not(question, now.astimezone(scope.zone).date(), scope.is_instance)
    if reason:
        raise NotAnswered(reason)
    return Asking(scope, question, now, KeyRing(scope, owner_id)).answer()


class Asking:
    """One question on its way to its answer."""

    most_series = MOST_SERIES

    def __init__(self, scope: Scope, question: Question, now: datetime, ring: KeyRing) -> None:
        self.scope, self.question, self.now, self.ring = scope, question, now, ring
        self.metric = question.metric
        self.grouped = tuple(dimension for dimension in (question.group, question.subgroup) if dimension)
        self.periods = periods_of(question, scope.zone, now)
        self.today = now.astimezone(scope.zone).date()

    def answer(self) -> Answer:
        ranked = self._ranked() if self.grouped else [()]
        top = ranked[: max(1, min(self.question.top, self.most_series))]
        present = self._spread(self.question, self.periods, top)
        before = self._before(top)
        whole = _Line(self, _all_of(present), None if before is None else _all_of(before))
        series = self._named(top, present, before)
        if len(ranked) > len(top) and self.metric.adds_up:
            rest = [before[rows.OTHER]] if before is not None else None
            series.append(self._series(None, None, _Line(self, [present[rows.OTHER]], rest), is_other=True))
        if self.metric.adds_up and whole.total:
            for one in series:
                one.share = (one.total or 0) / whole.total
        return Answer(
            question=self.question,
            starts=self.periods.starts,
            is_running=bool(self.periods.starts) and self.question.last_day >= self.today,
            series=series if self.grouped else [],
            total=whole.total,
            before_total=whole.before_total,
            before_so_far=self._before_so_far(),
            values=whole.values,
            before_values=whole.before_values,
            rows_total_count=len(ranked) if self.grouped else 0,
            unpriced_calls=whole.cell.unpriced,
            looked_at=rows.LOOKED_AT[self.periods.column],
            calls=whole.cell.whole,
            estimates=whole.estimates,
        )

    # Who is in it ---------------------------------------------------------------------------------------------------

    def _ranked(self) -> list[Ids]:
        columns = tuple(dict.fromkeys(COLUMNS[dimension] for dimension in self.grouped))
        sums = sums_of(self.metric)
        cells: defaultdict[Ids, Cell] = defaultdict(Cell)
        for row in rows.totals(self.scope, self.question, self.today, self.ring, columns, sums):
            raw = dict(zip(columns, row, strict=False))
            ids = tuple(self.ring.id_of(dimension, raw[COLUMNS[dimension]]) for dimension in self.grouped)
            cells[ids].add(*map(int, row[len(columns) :]))
        if self.metric.is_percentile:
            # Nothing of theirs was measured.
            cells = defaultdict(Cell, {ids: cell for ids, cell in cells.items() if cell.whole})
        return sorted(cells, key=lambda ids: (*self._rank(cells[ids]), ids))

    def _rank(self, cell: Cell) -> tuple[int, int]:
        return (-cell.part if self.metric.adds_up else 0, -cell.whole)

    # What it adds up to ---------------------------------------------------------------------------------------------

    def _spread(self, question: Question, periods: Periods, top: Sequence[Ids]) -> dict[int, dict[int, Cell]]:
        """Number of the series -> place of the bucket -> its cell. "Other" and what was asked for apart from the series
        stand beside them, as OTHER and WHOLE."""
        if not periods.starts:
            return defaultdict(dict)
        span = rows.in_span(self.scope, question, periods, self.ring, self.metric.is_percentile)
        ungrouped = replace(question, group=None, subgroup=None)
        if not self._whole_is_quicker(ungrouped, periods):
            return self._cells(span, periods, top)
        # Read are the rows of what is drawn, and the whole; what that has more is the rest.
        drawn = [{ids[place] for ids in top} for place in range(len(self.grouped))]
        for dimension, ids in zip(self.grouped, drawn, strict=True):
            span = span.filter(self.ring.condition(dimension, ids))
            if dimension in OF_KEYS:
                span = span.filter(self.ring.in_their_teams(dimension, ids))
        all_rows = rows.in_span(self.scope, ungrouped, periods, self.ring, self.metric.is_percentile)
        whole = self._cells(all_rows, periods, [])[rows.OTHER]
        used = cut_to_used(whole.values()) if self.metric.is_percentile else None
        # As few rows by the tables' own columns, which are in the order of their keys.
        by_columns = not {Dimension.MEMBER, Dimension.TAG}.intersection(self.grouped) and HIDDEN not in set().union(
            *drawn
        )
        spread = self._cells(span, periods, top, used, by_columns)
        spread.pop(rows.OTHER, None)
        if self.metric.adds_up:
            spread[rows.OTHER] = _less(whole, spread.values())
        spread[WHOLE] = whole
        return spread

    def _whole_is_quicker(self, ungrouped: Question, periods: Periods) -> bool:
        """Days and hours by key are the most rows there are, and bins the widest; without groups, smaller tables
        know."""
        if OF_KEYS & ungrouped.dimensions:
            return False
        if self.metric.is_percentile:
            return bool(self.grouped) and not ungrouped.dimensions & {Dimension.MODEL, Dimension.PROVIDER}
        return periods.column != "month" and bool(OF_KEYS.intersection(self.grouped))

    def _cells(
        self,
        span: QuerySet[Any],
        periods: Periods,
        top: Sequence[Ids],
        bins: tuple[int, int] | None = None,
        by_columns: bool = False,
    ) -> dict[int, dict[int, Cell]]:
        """`by_columns` groups by the columns of the dimensions, not by the series. With `bins`, percentiles are made of
        those from the first to the last, and by columns they are added up here: databases take twice as long."""
        spread: defaultdict[int, dict[int, Cell]] = defaultdict(dict)
        columns = self._columns() if by_columns else ()
        conditions = [self._condition(ids) for ids in top] if self.grouped and not by_columns else []
        numbers = _Numbers(self, columns, top)
        of_bins = self.metric.is_percentile
        first_bin, last_bin = bins or (FIRST_BIN, LAST_BIN)
        bins_of = rows.Bins if bins and by_columns else rows.BinSums
        sums = {"bins": bins_of(first_bin, last_bin)} if of_bins else sums_of(self.metric)
        places: dict[int, int] = {}
        for group, number, *values in rows.grouped_by_time(span, periods, conditions, columns, sums):
            if not any(values):
                # Grouped by constants alone, nothing is one row of zeros.
                continue
            if columns:
                number = numbers[tuple(values[: len(columns)])]
                del values[: len(columns)]
            place = places.get(group)
            if place is None:
                place = places[group] = periods.place(group)
            cells = spread[number]
            cell = cells.get(place)
            if cell is None:
                cell = cells[place] = Cell()
            if of_bins:
                cell.add_bins(values, first_bin)
            else:
                cell.add(*map(int, values))
        return spread

    def _columns(self) -> tuple[str, ...]:
        """Of the tables, for the dimensions grouped by; the team before the key, as in the tables' keys."""
        columns = [COLUMNS[dimension] for dimension in self.grouped]
        return tuple(dict.fromkeys(["team_id", *columns] if "key_id" in columns else columns))

    def _condition(self, ids: Ids) -> Q:
        wanted = Q()
        for dimension, id_ in zip(self.grouped, ids, strict=True):
            wanted &= self.ring.condition(dimension, (id_,))
        return wanted

    def _before(self, top: Sequence[Ids]) -> dict[int, dict[int, Cell]] | None:
        """At the places of the buckets they are compared with; what has no such bucket is under place -1."""
        question = self.question.before
        if question is None:
            return None
        if why_not(question, self.today, self.scope.is_instance):
            # Hours of a time whose quarter hours are gone: unknown, not zero.
            return defaultdict(dict)
        periods = periods_of(question, self.scope.zone, self.now)
        shift = self.question.first_day - question.first_day
        places = {there: here for here, there in enumerate(aligned(self.periods, periods, shift)) if there is not None}
        moved: defaultdict[int, dict[int, Cell]] = defaultdict(dict)
        for number, cells in self._spread(question, periods, top).items():
            there = moved[number]
            for place, cell in cells.items():
                here = places.get(place, -1)
                if here in there:
                    there[here].merge(cell)
                else:
                    there[here] = cell
        return moved

    def _before_so_far(self) -> Number | None:
        """One query: whole days, and of the last one the quarter hours up to now."""
        question = self.question.before
        if question is None or self.metric.is_percentile or self.question.last_day < self.today:
            return None
        until = self._same_moment_before(question)
        if until.date() < self.today - timedelta(days=HOURS_REACH_BACK_DAYS):
            return None
        midnight_slot = slot_of(midnight(day_number(until.date()), self.scope.zone))
        last = Periods("slot", [], [], midnight_slot, slot_of(until) + 1)
        days = Periods("day", [], [], day_number(question.first_day), day_number(until.date()))
        cell = Cell()
        for row in self._sums(replace(question, grain=Grain.DAY), days).union(
            self._sums(replace(question, grain=Grain.HOUR), last), all=True
        ):
            cell.add(*map(int, row[1:]))
        return cell.value(self.metric) if cell.whole else None

    def _same_moment_before(self, question: Question) -> datetime:
        local = self.now.astimezone(self.scope.zone)
        if question.grain is Grain.MONTH:
            months = month_number(self.question.first_day) - month_number(question.first_day)
            there = datetime.combine(month_shifted(local.date(), -months), local.time(), self.scope.zone)
        else:
            # On the clock on the wall, so not by subtracting from an instant.
            there = local + (question.first_day - self.question.first_day)
        return there

    def _sums(self, question: Question, periods: Periods) -> QuerySet[Any, Any]:
        found = rows.in_span(self.scope, question, periods, self.ring)
        sums = sums_of(self.metric)
        summed: QuerySet[Any, Any] = found.annotate(one=Constant(1)).values("one").annotate(**sums)
        return summed.values_list("one", *sums)

    # How it is told -------------------------------------------------------------------------------------------------

    def _named(
        self, top: Sequence[Ids], present: dict[int, dict[int, Cell]], before: dict[int, dict[int, Cell]] | None
    ) -> list[Series]:
        names = [
            self.ring.names(dimension, {ids[place] for ids in top}) for place, dimension in enumerate(self.grouped)
        ]
        series = []
        for number, ids in enumerate(top if self.grouped else []):
            values = [names[place][id_] for place, id_ in enumerate(ids)]
            line = _Line(self, [present[number]], None if before is None else [before[number]])
            series.append(self._series(values[0], values[1] if len(values) > 1 else None, line))
        return series

    def _series(self, group: Value | None, subgroup: Value | None, line: _Line, is_other: bool = False) -> Series:
        return Series(
            group=group,
            subgroup=subgroup,
            values=line.values,
            total=line.total,
            before_values=line.before_values,
            before_total=line.before_total,
            is_other=is_other,
            calls=line.cell.whole,
        )


class _Numbers(dict[tuple[Any, ...], int]):
    """What stands in the columns of a row -> number of its series, or OTHER."""

    def __init__(self, asking: Asking, columns: tuple[str, ...], top: Sequence[Ids]) -> None:
        super().__init__()
        self._asking, self._columns = asking, columns
        self._by_ids = {ids: number for number, ids in enumerate(top)}

    def __missing__(self, values: tuple[Any, ...]) -> int:
        raw, ring = dict(zip(self._columns, values, strict=True)), self._asking.ring
        ids = tuple(ring.id_of(dimension, raw[COLUMNS[dimension]]) for dimension in self._asking.grouped)
        return self.setdefault(values, self._by_ids.get(ids, rows.OTHER))


class _Line:
    """Cells of one or more series, merged: values over time, and their total."""

    def __init__(
        self,
        asking: Asking,
        present: Iterable[dict[int, Cell]],
        before: Iterable[dict[int, Cell]] | None,
    ) -> None:
        self._asking = asking
        length = len(asking.periods.starts)
        cells = _together(present)
        self.cell = merged(cells.values())
        self.values = self._values(cells, length)
        self.estimates = [cells[place].estimated if place in cells else 0 for place in range(length)]
        self.total = self.cell.value(asking.metric) if cells else None
        self.before_values: list[Number | None] = []
        self.before_total: Number | None = None
        if before is not None:
            past = _together(before)
            self.before_values = self._values(past, length)
            self.before_total = merged(past.values()).value(asking.metric) if past else None

    def _values(self, cells: dict[int, Cell], length: int) -> list[Number | None]:
        metric, question = self._asking.metric, self._asking.question
        found = [cells[place].value(metric) if place in cells else None for place in range(length)]
        if not (question.cumulative and metric.adds_up):
            return found
        # A line that grows: it begins with the first value, and goes on flat through a gap.
        return list(accumulate(found, _grown))


def _grown(so_far: Number | None, value: Number | None) -> Number | None:
    return so_far if value is None else (so_far or 0) + value


def _less(whole: Mapping[int, Cell], parts: Iterable[dict[int, Cell]]) -> dict[int, Cell]:
    """What of `whole` is in no part."""
    left = {place: merged([cell]) for place, cell in whole.items()}
    for cells in parts:
        for place, cell in cells.items():
            left[place].take(cell)
    return {place: cell for place, cell in left.items() if cell.part or cell.whole or cell.unpriced}


def _all_of(spread: Mapping[int, dict[int, Cell]]) -> Collection[dict[int, Cell]]:
    return [spread[WHOLE]] if WHOLE in spread else spread.values()


def _together(many: Iterable[dict[int, Cell]]) -> dict[int, Cell]:
    all_of_them = list(many)
    if len(all_of_them) == 1:
        return all_of_them[0]
    together: dict[int, Cell] = {}
    for cells in all_of_them:
        for place, cell in cells.items():
            together.setdefault(place, Cell()).merge(cell)
    return together


def choices(scope: Scope, dimension: Dimension, now: datetime, owner_id: int | None = None) -> list[Value]:
    """What a filter menu offers: seen in the last 400 days (whole months), who spent most first; with `owner_id` of
    keys only that user's own. Two queries, three for teams and members."""
    ring = KeyRing(scope, owner_id)
    first = month_number((now.astimezone(scope.zone) - timedelta(days=SEEN_DAYS)).date())
    months = MonthKeyBucket.objects.filter(zone=scope.zone.key, month__gte=first)
    if not scope.is_instance:
        months = months.filter(team_id=scope.team_id)
    column = COLUMNS[dimension]
    found = months.order_by().values(column).annotate(cost=measures.COST, calls=measures.CALLS)
    ids: dict[str, None] = {}
    for row in found.order_by("-cost", "-calls", column):
        ids.setdefault(ring.id_of(dimension, row[column]))
    if dimension in OF_KEYS:
        ids.pop(HIDDEN, None)
    some = list(ids)[: MOST_CHOICES.get(dimension, USUAL_CHOICES)]
    names = ring.names(dimension, some)
    return [names[id_] for id_ in some]
