"""Which table answers, and the rows of a span in it: the narrowest that knows the dimensions of the question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Case, F, Func, IntegerField, QuerySet, Sum, When
from django.db.models import Value as Constant

from usage.models import (
    ANY,
    BIN_COLUMNS,
    FIRST_BIN,
    LAST_BIN,
    WHOLE_INSTANCE,
    DayKeyBucket,
    DayModelBucket,
    LatencyBucket,
    LatencyKeyBucket,
    MonthKeyBucket,
    QuarterBucket,
    QuarterModelBucket,
)
from usage.reports.explorer.names import KeyRing
from usage.reports.explorer.periods import Periods
from usage.reports.explorer.question import (
    OF_KEYS,
    PERCENTILES,
    Dimension,
    Question,
)
from usage.reports.span import Scope, day_number, whole_months

LOOKED_AT = {"slot": "hours", "day": "days", "month": "months"}
OTHER = -1


def in_span(scope: Scope, question: Question, periods: Periods, ring: KeyRing, of_bins: bool = False) -> QuerySet[Any]:
    """The rows of the question's span and filters: sums, or the bins of a percentile."""
    rows = _bins(scope, question) if of_bins else _table(scope, question, periods.column)
    rows = rows.filter(**{f"{periods.column}__gte": periods.first, f"{periods.column}__lt": periods.end})
    return left_out(filtered(rows, question.filters, ring), question.without, ring)


def filtered(rows: QuerySet[Any], filters: Mapping[Dimension, tuple[str, ...]], ring: KeyRing) -> QuerySet[Any]:
    for dimension, ids in filters.items():
        if ids:
            rows = rows.filter(ring.condition(dimension, ids))
    return rows.order_by()


def left_out(rows: QuerySet[Any], without: Mapping[Dimension, tuple[str, ...]], ring: KeyRing) -> QuerySet[Any]:
    for dimension, ids in without.items():
        if ids:
            rows = rows.filter(~ring.condition(dimension, ids))
    return rows


def _bins(scope: Scope, question: Question) -> QuerySet[Any]:
    place = {"kind": PERCENTILES[question.metric][0], "zone": scope.zone.key}
    if OF_KEYS & question.dimensions:
        return _of_scope(LatencyKeyBucket.objects.filter(**place), scope, has_whole=False)
    rows = LatencyBucket.objects.filter(**place)
    narrowed = question.dimensions & {Dimension.MODEL, Dimension.PROVIDER}
    rows = rows.exclude(model=ANY) if narrowed else rows.filter(model=ANY)
    return _of_scope(rows, scope, has_whole=True, by_team=_by_team(question))


def _table(scope: Scope, question: Question, column: str) -> QuerySet[Any]:
    needs_keys = bool(OF_KEYS & question.dimensions)
    if column == "slot":
        rows: QuerySet[Any] = QuarterBucket.objects.all() if needs_keys else QuarterModelBucket.objects.all()
    elif column == "day":
        rows = DayKeyBucket.objects.all() if needs_keys else DayModelBucket.objects.all()
    else:
        rows = MonthKeyBucket.objects.all()
    if column != "slot":
        rows = rows.filter(zone=scope.zone.key)
    has_whole = rows.model in (QuarterModelBucket, DayModelBucket)
    return _of_scope(rows, scope, has_whole, _by_team(question))


def _by_team(question: Question) -> bool:
    return Dimension.TEAM in question.dimensions


def _of_scope(rows: QuerySet[Any], scope: Scope, has_whole: bool, by_team: bool = False) -> QuerySet[Any]:
    """Some tables also hold the whole instance as team 0: with the teams beside it every call would count twice."""
    if not scope.is_instance:
        return rows.filter(team_id=scope.team_id)
    if not has_whole:
        return rows
    return rows.filter(team_id__gt=WHOLE_INSTANCE) if by_team else rows.filter(team_id=WHOLE_INSTANCE)


class Bins(Func):
    """One expression for many bins, in the order of BIN_COLUMNS: to put eighty into a query one by one takes longer
    than to run it. Only for `grouped_by_time`, which reads past the ORM."""

    each = "{}"

    def __init__(self, first_bin: int = FIRST_BIN, last_bin: int = LAST_BIN) -> None:
        self.columns = BIN_COLUMNS[first_bin - FIRST_BIN : last_bin - FIRST_BIN + 1]
        super().__init__(self.columns[0], output_field=IntegerField())

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **extra: Any) -> tuple[str, Any]:
        first, parameters = compiler.compile(self.get_source_expressions()[0])
        table = first.removesuffix(connection.ops.quote_name(self.columns[0]))
        return ", ".join(self.each.format(table + connection.ops.quote_name(name)) for name in self.columns), parameters


class BinSums(Bins, Sum):
    each = "SUM({})"


def grouped_by_time(
    rows: QuerySet[Any], periods: Periods, series: Iterable[Any], columns: tuple[str, ...], sums: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """(group of time, number of the series or OTHER, *columns, *sums): at most buckets x series rows, whatever the
    number of keys behind them; with `Bins` for sums nothing is grouped. All are integers, as the database gives them:
    PostgreSQL sums big ones to decimals."""
    cases = [When(condition, then=Constant(number)) for number, condition in enumerate(series)]
    number = Case(*cases, default=Constant(OTHER), output_field=IntegerField()) if cases else Constant(OTHER)
    found = rows.annotate(grouped_time=_time(periods), series=number).values("grouped_time", "series", *columns)
    summed = found.annotate(**sums).values_list("grouped_time", "series", *columns, *sums)
    try:
        sql, parameters = summed.query.sql_with_params()
    except EmptyResultSet:
        return []
    # Past the ORM, which takes longer to hand out a hundred thousand rows of bins than the database to find them.
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def _time(periods: Periods) -> Any:
    """What to group by; `Periods.place` finds the bucket of what it gives."""
    if periods.width > 1:
        return (F(periods.column) - periods.offset) / periods.width
    if 2 * len(periods.lows) > periods.end - periods.first:
        return F(periods.column)
    # Months of days have no common length: fewer rows come back when the database puts each day into its own.
    pairs = zip(periods.lows, periods.lows[1:], strict=False)
    cases = [When(**{f"{periods.column}__lt": after}, then=Constant(low)) for low, after in pairs]
    return Case(*cases, default=Constant(periods.lows[-1]), output_field=IntegerField())


def totals(
    scope: Scope, question: Question, today: date, ring: KeyRing, columns: tuple[str, ...], sums: Mapping[str, Any]
) -> QuerySet[Any, Any]:
    """(*columns, *sums) over the whole span, in one query. A key's long span is whole months and the days at their
    edges: then the same columns come up to three times."""
    parts = [in_span(scope, question, span, ring) for span in _spans(question, today)]
    if not columns:
        parts = [part.annotate(all=Constant(1)) for part in parts]
    found = [part.values(*columns or ("all",)).annotate(**sums).values_list(*columns, *sums) for part in parts]
    whole: QuerySet[Any, Any] = found[0].union(*found[1:], all=True) if len(found) > 1 else found[0]
    return whole


def _spans(question: Question, today: date) -> list[Periods]:
    last = min(question.last_day, today)
    parts = [("day", day_number(question.first_day), day_number(last) + 1)]
    if OF_KEYS & question.dimensions:
        parts = whole_months(question.first_day, last, today)
    return [Periods(column, [], [], first, end) for column, first, end in parts]
